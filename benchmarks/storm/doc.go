// Package storm runs the clients that people use against an overloaded server, in virtual time, and counts what the server
// gets to see and what the callers get. The clients are the real ones; the server and the network between are simulated.
package storm
