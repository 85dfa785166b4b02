// Package codedoc turns a registry of errors into the provider's reference page, and holds a published page
// against a registry.
//
// [Markdown] writes the whole page: what a body looks like, every error grouped by status with its code, type,
// retry rule, cause and fix, the headers, and where each row was read. [Table] writes one compact table for a README.
// Both are made from the same rows that the server writes and the client reads, so the page cannot say anything else
// than the wire does; keep it in the repository and let a test compare the two.
//
// [Diff] is the other direction: it reads the Markdown tables of a page that somebody else keeps, and reports
// every [Drift] in code, status, type and retry rule. Run it in CI against the page of a provider whose registry you use.
//
// The package imports the standard library and errcodes, has no state, and all of it is safe for concurrent use.
package codedoc
