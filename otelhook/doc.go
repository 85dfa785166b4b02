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
// Neither metrics nor span names hold anything that a server or a URL says: their attributes come from closed sets, and the number of operations
// is bounded. URLs on spans are without credentials. Bodies, messages of servers and keys are in no signal.
package otelhook
