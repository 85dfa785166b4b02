package reachable

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// Route is one route of the server.
type Route struct {
	// Method is the only one that the route serves; "" means any.
	Method string
	// Path is matched as a whole and has no wildcards.
	Path string
	// Handler serves the route.
	Handler http.Handler
}

// ServeMux is the [Router] of the standard library.
func ServeMux(routes []Route) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		pattern := r.Path
		if r.Method != "" {
			pattern = r.Method + " " + r.Path
		}
		mux.Handle(pattern, r.Handler)
	}
	return mux
}

// BodyLimit is the longest body that POST /runs takes, in bytes.
const BodyLimit = 2048

// Handler returns a server whose routes reach every error that a handler can meet. begun, which may be nil, is told when a handler of /gone waits for its
// caller to leave.
func Handler(ew *middleware.ErrorWriter, router Router, begun chan<- struct{}) http.Handler {
	refuse := func(code errcodes.Code) http.Handler {
		return ew.Handler(func(http.ResponseWriter, *http.Request) error {
			return &errcodes.Error{Code: code, Err: errors.New("canary in the cause")}
		})
	}
	auth := ew.Authenticate(func(_ *http.Request, key string) (context.Context, error) {
		if key != "sk-good" {
			return nil, &errcodes.Error{Code: errcodes.InvalidAPIKey}
		}
		return nil, nil //nolint:nilnil // nil keeps the context.
	})
	body := ew.RequireJSON(middleware.JSONRules{Limit: BodyLimit, Fields: []middleware.JSONField{
		{Name: "model", Kind: middleware.JSONString}, {Name: "input", Kind: middleware.JSONObject},
	}})
	chat := ew.RequireJSON(middleware.JSONRules{Fields: []middleware.JSONField{
		{Name: "model", Kind: middleware.JSONString}, {Name: "messages", Kind: middleware.JSONArray},
	}})
	limit := func(limits middleware.Timeout, h http.Handler) http.Handler { return ew.Timeout(limits)(h) }
	wait := ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	})
	routes := []Route{
		{Method: http.MethodPost, Path: "/runs", Handler: auth(body(ew.Handler(createRun)))},
		{Method: http.MethodPost, Path: "/chat", Handler: auth(chat(refuse(errcodes.InsufficientBalance)))},
		{Path: "/rate", Handler: auth(ew.LimitRate(middleware.RateRules{Limiter: spent{}})(refuse(errcodes.Internal)))},
		{Path: "/shed", Handler: ew.LimitConcurrency(0)(refuse(errcodes.Internal))},
		{Path: "/ip", Handler: ew.AllowIP(middleware.IPRules{Allow: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2}), 24)}})(refuse(errcodes.Internal))},
		{Path: "/panic", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("canary in the panic") })},
		{Path: "/panic-late", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			beginHalf(w)
			panic("late")
		})},
		{Path: "/error-late", Handler: ew.Handler(func(w http.ResponseWriter, _ *http.Request) error {
			beginHalf(w)
			return errors.New("late")
		})},
		{Path: "/abort", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })},
		{Path: "/text", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "canary in the text", http.StatusForbidden)
		})},
		{Path: "/bare", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) })},
		{Path: "/nothing", Handler: ew.Handler(func(http.ResponseWriter, *http.Request) error { return nil })},
		{Path: "/foreign", Handler: ew.Handler(func(http.ResponseWriter, *http.Request) error { return errors.New("canary in the error") })},
		{Path: "/max-bytes", Handler: ew.Handler(func(w http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 10))
			return err
		})},
		{Path: "/late", Handler: limit(middleware.Timeout{FirstByte: 5 * time.Millisecond}, wait)},
		{Path: "/late-total", Handler: limit(middleware.Timeout{Total: 5 * time.Millisecond}, wait)},
		{Method: http.MethodPost, Path: "/slow-body", Handler: limit(middleware.Timeout{FirstByte: 100 * time.Millisecond}, body(refuse(errcodes.Internal)))},
		{Path: "/deadline", Handler: ew.Handler(func(http.ResponseWriter, *http.Request) error { return context.DeadlineExceeded })},
		{Path: "/timeout-handler", Handler: http.TimeoutHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}), time.Millisecond, "")},
		{Path: "/stale", Handler: ew.Handler(stale(ew))},
		{Path: "/gone", Handler: ew.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			_, _ = io.Copy(io.Discard, r.Body) // only then net/http watches the connection
			if begun != nil {
				begun <- struct{}{}
			}
			<-r.Context().Done()
			return &errcodes.Error{Code: errcodes.BadGateway, Err: r.Context().Err()}
		})},
		{Path: "/fail/no_such_code", Handler: refuse("no_such_code")},
	}
	reg := ew.Registry
	if reg == nil {
		reg = errcodes.Problem()
	}
	for row := range reg.All() {
		routes = append(routes, Route{Path: "/fail/" + string(row.Code), Handler: refuse(row.Code)})
	}
	return ew.Wrap(router(routes))
}

// spent is the limiter of a key that has to wait.
type spent struct{}

func (spent) Take(context.Context, *middleware.RateQuery) (middleware.RateState, error) {
	return middleware.RateState{Refused: true, Limit: 500, Reset: time.Unix(2e9, 0), RetryAfter: 1500 * time.Millisecond}, nil
}

func createRun(w http.ResponseWriter, r *http.Request) error {
	switch middleware.ModelFrom(r.Context()) {
	case "test/ok":
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != r.ContentLength {
			return errors.New("the body was not handed on")
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, err = io.WriteString(w, `{}`)
		return err
	case "test/invalid":
		return &errcodes.Error{Code: errcodes.InvalidInput, Param: "input.prompt", Message: "The prompt is missing."}
	default:
		return &errcodes.Error{Code: errcodes.ModelNotFound, Param: "model"}
	}
}

const halfAnswer = `{"half":`

func beginHalf(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, halfAnswer)
	_ = http.NewResponseController(w).Flush()
}

// stale answers twice, after it had another answer in mind.
func stale(ew *middleware.ErrorWriter) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		for _, k := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Retry-After", "X-Should-Retry"} {
			w.Header().Set(k, "7")
		}
		w.Header().Set("X-Kept", "yes")
		err := &errcodes.Error{Code: errcodes.RunNotFound}
		ew.WriteError(w, r, err)
		if _, werr := io.WriteString(w, "trailing garbage"); werr == nil {
			panic("a write after the error succeeded")
		}
		return err
	}
}
