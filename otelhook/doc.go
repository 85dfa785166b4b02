// Package otelhook shows what errwire does in OpenTelemetry: each attempt of a call, each wait, and why a client gave up; on the
// server, which error was answered under which request id. It uses the OpenTelemetry API alone; the program picks the SDK.
//
//	hook := &otelhook.Client{Operation: "chat"}
//	client := &http.Client{Transport: hook.Transport(&classify.Transport{})}
//
//	errs := &middleware.ErrorWriter{Observer: &otelhook.Server{}}
//
// # Spans of the client
//
//	chat                        INTERNAL  one for each call, whatever it takes
//	├ POST                      CLIENT    the first attempt
//	│ └ POST /v1/chat/...       SERVER    of the other process
//	└ POST                      CLIENT    http.request.resend_count=1
//
// The semantic conventions want one CLIENT span for each request on the wire and none around them, because a service map draws an
// edge for each. So the span around the attempts is INTERNAL and has no http.request attributes; it keeps the attempts of a call in
// one trace even where the caller has none. The waits between attempts and the reason to give up are its events.
//
// The spans of the attempts are made here, or by another instrumentation such as otelhttp, if [Client.Instrument] names one; it is
// found by its span and that span is annotated.
//
// Every span, event, attribute and metric is described in docs/tracing.md.
//
// # What never gets out
//
// The metrics whose names begin with errwire, and the names of spans, hold nothing that a server or a URL says: their attributes come from closed sets,
// and the number of operations is bounded. http.client.request.duration has what the semantic conventions ask for, server.address and server.port
// among it, which is a set for each host: a client of many hosts drops them by a View, as docs/tracing.md shows.
//
// URLs on spans are without credentials. Bodies, messages of servers and keys are in no signal of this package. Nor is the text of an error, which may repeat any of
// them: what is told of an error is its type, and the words of those errors of the standard library that repeat nothing. On spans stand, cut to a
// length, the code and the request id that an answer has in the places for them. Another instrumentation tells what it tells: otelhttp puts
// the text of an error into the status of its spans.
//
// # What it costs
//
// Where the providers make nothing of a call, one that succeeds costs no allocation, with a [Client.Logger] one; without any provider the same, but for each
// 64th call, which looks for one. A trace context or baggage that came from the caller is handed on with every attempt all the same, in a copy of the request's
// header.
package otelhook
