// Package errcodes defines HTTP API errors once, for the server that writes
// them and for the client that reads them.
//
// A [Code] names a condition: the key is missing, the account has no balance, the
// server is busy. The word is the same everywhere. How a provider spells the
// condition belongs to its [Registry]: the HTTP status, the type and the code on
// the wire, the class, and whether sending the request again can help. So a
// handler returns &[Error]{Code: [RateLimited]} and the wire says RATE_LIMITED with
// 429 on Runbase, only the type rate_limit_error on RunInfra, and
// rate_limit_exceeded on OpenAI; a client that reads either gets the same [Class]
// and the same [Retry] rule.
//
// # Registries
//
// [RunInfra], [Runbase], [OpenAI] and [Anthropic] return what each provider documents, with
// the page and the day in [Entry.Source]; [Problem] is RFC 9457, [Google] is
// google.rpc.Status. Where a provider is silent and the
// choice is ours, Source says "errwire". A registry never changes: [Registry.With]
// returns a new one, [New] checks every row and names every bad one.
//
// Servers call [Registry.Lookup] with a Code. Clients call [Registry.Match] with
// what the wire said; it always answers.
//
// # Dialects
//
// A [Dialect] spells a [Body] as bytes and reads it back. Both directions of a
// provider stand in one file, and the tests hold them against each other for
// every row of every registry.
//
// # Promises
//
// The package imports only the standard library. It has no state that changes,
// no init functions, and nothing in it panics. All its values are safe for
// concurrent use as long as nobody modifies an [Error] or [Entry] that is shared.
package errcodes
