// Package smtp is the wire: replies, enhanced codes, the limits table, the server that takes mail in and the client that
// hands mail on. It speaks RFC 5321 and judges no mail; what a message is worth is decided by the Handler above it.
package smtp
