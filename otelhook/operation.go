package otelhook

import (
	"net/http"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

const (
	// maxOperations bounds how many names a Client.OperationFor may bring into metrics and span names. With the other attributes,
	// which are closed sets, no metric here gets beyond 1,300 attribute sets; SDKs fold what exceeds 2,000 into one.
	maxOperations = 24
	// otherOperation stands for the names beyond.
	otherOperation = "_OTHER"
	// unnamed is the name of the span of a call without an operation.
	unnamed = "retry"
)

// operation is what all calls of one name have in common.
type operation struct {
	name     string // "" for none
	spanName string
	start    []trace.SpanStartOption
}

// operations hands out operations by name. It is safe for concurrent use.
type operations struct {
	fixed       *operation
	of          func(*http.Request) string // nil: always fixed
	maxAttempts int

	mu    sync.RWMutex
	named map[string]*operation
}

func newOperations(name string, of func(*http.Request) string, maxAttempts int) *operations {
	o := &operations{of: of, maxAttempts: maxAttempts, named: map[string]*operation{}}
	o.fixed = o.make(name)
	return o
}

func (o *operations) make(name string) *operation {
	op := &operation{name: name, spanName: name}
	if name == "" {
		op.spanName = unnamed
	}
	attrs := make([]attribute.KeyValue, 0, 2)
	if name != "" {
		attrs = append(attrs, keyOperation.String(name))
	}
	attrs = append(attrs, keyMaxAttempts.Int(o.maxAttempts))
	op.start = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(attrs...)}
	return op
}

// find returns the operation of a request, nil for none.
func (o *operations) find(req *http.Request) *operation {
	if o.of == nil || req == nil {
		return o.fixed
	}
	name := o.of(req)
	if name == "" || name == o.fixed.name {
		return o.fixed
	}
	o.mu.RLock()
	op := o.named[name]
	full := len(o.named) >= maxOperations
	o.mu.RUnlock()
	switch {
	case op != nil:
		return op
	case full:
		name = otherOperation
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if op = o.named[name]; op != nil {
		return op
	}
	if len(o.named) >= maxOperations {
		name = otherOperation
	}
	if op = o.named[name]; op == nil {
		op = o.make(bounded(name))
		o.named[name] = op
	}
	return op
}
