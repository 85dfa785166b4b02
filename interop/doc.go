// Package interop drives eight published API clients, each at a fixed version and with its retries off, against the example
// server, and compares what every client surfaces of every error with the row of the registry. It has tests only.
package interop
