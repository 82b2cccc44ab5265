// Package password: Passwords: argon2id for few at a time, and a gate that slows down who guesses.
package password
