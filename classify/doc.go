// Package classify understands HTTP API errors on the client's side: it turns every failure into a [Decision]
// (retry or not, how long to wait, why, what to do instead) and has a [Transport] that acts on it.
//
//	client := &http.Client{Transport: &classify.Transport{}}
//	resp, err := client.Do(req)
//	if e := classify.ErrorOf(resp); e != nil {
//		log.Print(e) // status, code, message, request id, and why no further attempt was made
//	}
//
// # Judging
//
// A [Classifier] reads a response (or the event of a stream, or a transport's error) without being told whose it is: the
// shapes that errors have in the wild, the codes and types that providers share, the waits wherever they are
// stated, and as a last resort the prose. Given the registries of package errcodes, it also knows what each provider documents.
//
// The first rule is that a quota is not a rate: what fails until somebody pays, waits for
// another day or changes the request is never sent again, whatever status and Retry-After stand beside it.
//
// # Acting
//
// A [Transport] waits as long as it is told and never less, stops at once when the wait is pointless, does not repeat what the registry or
// the way in which the connection broke says may
// have been done already, and hands out the last response complete. A call that succeeds at once costs nothing. [Do] does
// the same around any operation, such as a call of an SDK.
//
// A [Budget] bounds the retries of all calls together and is on by default, because retries are what keeps an overloaded server down. A
// [Gate], such as a [Pacer], prevents the overload that comes of this client: it is for whoever sends a good part of a server's load.
//
// # Promises
//
// What arrives was written by strangers: every reader of this package is bounded in size, depth and time, and
// answers whatever it is given. Nothing here panics. Messages, codes and ids of a Decision are as the server
// wrote them, apart from bytes that are no UTF-8: escape them before they reach a terminal or a page.
package classify
