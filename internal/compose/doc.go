// Package compose: Builds a message from parts (text, HTML, attachments, substitutions): values in, MIME out.
package compose
