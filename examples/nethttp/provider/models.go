package provider

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// endpoint says what a model may be asked for.
type endpoint uint8

const (
	chat endpoint = 1 << iota
	messages
	runs
	everywhere = chat | messages | runs
)

// model is what a model of the API does.
type model struct {
	id     string
	serves endpoint
	// fails is the condition that every request for it runs into; "" for none.
	fails errcodes.Code
	// failsEvery makes all but the last of so many requests fail; 0 for every one.
	failsEvery int
	// slow models run into the time limit unless the answer is short or streamed.
	slow bool
	// panics is a handler with a bug.
	panics bool
	// breaks is what befalls its streams once all text is out; 0 for nothing.
	breaks fault
}

// fault is a way for a stream to go wrong in the middle.
type fault uint8

const (
	faultError fault = iota + 1 // the handler returns an error
	faultPanic                  // the handler panics
	faultStall                  // the handler falls silent
)

// models are the models that exist. Any other is unknown.
var models = []model{
	{id: "test/ok", serves: chat | messages},
	{id: "test/image", serves: runs},
	{id: "test/error-500", serves: everywhere, fails: errcodes.Internal},
	{id: "test/error-503", serves: everywhere, fails: errcodes.Unavailable},
	{id: "test/error-504", serves: everywhere, fails: errcodes.Timeout},
	{id: "test/flaky-503", serves: everywhere, fails: errcodes.Unavailable, failsEvery: 3},
	{id: "test/slow", serves: everywhere, slow: true},
	{id: "test/panic", serves: everywhere, panics: true},
	{id: "test/stream-error", serves: chat | messages, breaks: faultError},
	{id: "test/stream-panic", serves: chat | messages, breaks: faultPanic},
	{id: "test/stream-stall", serves: chat | messages, breaks: faultStall},
}

// fewTokens is the max_tokens up to which a slow model answers in time.
const fewTokens = 16

// order is what the checks of a model look at.
type order struct {
	model     string
	maxTokens int // 0 for none given
	stream    bool
}

// lookUp returns the model of that id, if it serves the endpoint.
func lookUp(id string, at endpoint) (*model, error) {
	for i := range models {
		if models[i].id == id && models[i].serves&at != 0 {
			return &models[i], nil
		}
	}
	return nil, &errcodes.Error{Code: errcodes.ModelNotFound, Param: "model"}
}

// run does the work of m, or fails as m does.
func (p *Provider) run(r *http.Request, m *model, o order) error {
	switch {
	case m.panics:
		panic("provider: test/panic was asked for")
	case m.slow && !o.stream && (o.maxTokens == 0 || o.maxTokens > fewTokens):
		return &errcodes.Error{Code: errcodes.Timeout}
	case m.fails == "":
		return nil
	case m.failsEvery > 0 && p.turns.next(m.id+" "+accountFrom(r.Context()).key)%m.failsEvery == 0:
		return nil
	case m.fails == errcodes.Unavailable:
		return &errcodes.Error{Code: errcodes.Unavailable, RetryAfter: time.Second}
	default:
		return &errcodes.Error{Code: m.fails}
	}
}

// breakStream does to a stream of m what m does to all its streams.
func (p *Provider) breakStream(r *http.Request, m *model) error {
	switch m.breaks {
	case faultError:
		return &errcodes.Error{Code: errcodes.Internal, Err: errors.New("provider: test/stream-error was asked for")}
	case faultPanic:
		panic("provider: test/stream-panic was asked for")
	case faultStall:
		<-r.Context().Done() // the limit on silence ends it
		return context.Cause(r.Context())
	default:
		return nil
	}
}
