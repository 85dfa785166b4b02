package middleware

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/errwire/errwire/errcodes"
)

// What is decided about an error stands here, as functions of their arguments. Nothing in this file does HTTP.

// verdict is what an error means under a registry.
type verdict struct {
	reg        *errcodes.Registry
	row        errcodes.Entry
	public     *errcodes.Error // what the handler lets the caller read; nil for nothing
	err        error
	undeclared errcodes.Code
	wait       time.Duration // what somebody other than the handler's *errcodes.Error asks for; 0 for nothing
	veto       bool          // somebody other than the registry says that the request is not to be sent again
	slow       bool          // a deadline has ended a read of the body
	gone       bool          // the caller left

	panicked any
	stack    []byte
}

// decide judges v.err under v.reg. ctx is the context that the handler saw; gone says that the caller has left.
func (v *verdict) decide(ctx context.Context, gone bool) {
	if gone {
		v.gone = true
		v.row = lookup(v.reg, errcodes.ClientClosed)
		return
	}
	err := v.err
	found := inspect(ctx, err, v.slow)
	v.wait = found.wait
	if v.public = found.public; v.public != nil && !carries(err, v.public) {
		v.err = fmt.Errorf("%w: %w", err, v.public) // the context's error does not say why it ended
	}
	var ok bool
	if v.row, ok = v.reg.Lookup(found.code); !ok {
		v.undeclared, v.public = found.code, nil
		v.row = lookup(v.reg, errcodes.Internal)
	}
	v.gone = v.row.Code == errcodes.ClientClosed // so the handler says, and may know it first: a write has failed
}

// finding is what stands behind an error.
type finding struct {
	code   errcodes.Code
	public *errcodes.Error
	wait   time.Duration
}

// inspect finds the condition behind err, and what the caller may read of it. The methods of an error are anybody's code, and those of a
// nil pointer in an error panic as a rule.
func inspect(ctx context.Context, err error, slow bool) (found finding) {
	if e, ok := err.(*errcodes.Error); ok && e != nil && e.Code != "" { //nolint:errorlint // The common case without a walk; the walk is next.
		return finding{code: e.Code, public: e}
	}
	defer func() {
		if recover() != nil {
			found = finding{code: errcodes.Internal}
		}
	}()
	public, behind := walk(err)
	if public == nil {
		return foreign(ctx, err, behind, slow)
	}
	return declared(public)
}

// declared is the finding of what a handler let the caller read.
func declared(public *errcodes.Error) finding {
	if public.Code == "" {
		return finding{code: errcodes.Internal, public: public}
	}
	return finding{code: public.Code, public: public}
}

// carries reports whether public stands in err's tree.
func carries(err error, public *errcodes.Error) bool {
	e, ok := err.(*errcodes.Error) //nolint:errorlint // The common case without a walk.
	return ok && e == public || publicError(err) == public
}

// callerGone reports that the connection of the request is closed. A context that somebody cancelled with a
// reason of their own, such as a server that shuts down, is not a caller who left.
func callerGone(conn context.Context) bool {
	return conn.Err() == context.Canceled && context.Cause(conn) == context.Canceled //nolint:errorlint // The bare value says that nobody gave a reason.
}

// upstream is an error that a server got from another one, as those of package classify are: its condition is that of a call of the server's, in which the
// server was the caller, and its words may hold the server's own key. So nothing in it is meant for the callers of this server, also where
// it holds an *errcodes.Error. The wait is 0 where none was stated.
type upstream interface {
	error
	Upstream() (class errcodes.Class, wait time.Duration)
}

// walk returns the first *errcodes.Error in err's tree that this server made, nil for none and for a nil pointer, and the first upstream.
func walk(err error) (public *errcodes.Error, behind upstream) {
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // This is the walk.
		case *errcodes.Error:
			return e, behind
		case upstream:
			return nil, e
		}
		if as, ok := err.(interface{ As(target any) bool }); ok && as.As(&public) {
			return public, behind
		}
		switch e := err.(type) { //nolint:errorlint // As above.
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				found, first := walk(err)
				if behind == nil {
					behind = first
				}
				if found != nil {
					return found, behind
				}
			}
			return nil, behind
		default:
			return nil, behind
		}
	}
	return nil, behind
}

// endedByDeadline reports whether err is that of a read or a write that a deadline ended.
func endedByDeadline(err error) (ended bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// publicError returns what walk finds for the caller, nil for nothing.
func publicError(err error) *errcodes.Error {
	public, _ := walk(err)
	return public
}

// foreign finds the condition behind an error that is not this library's.
func foreign(ctx context.Context, err error, behind upstream, slow bool) finding {
	canceled, late := errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded)
	if (canceled || late) && ctx.Err() != nil {
		// The context knows better than its error why it ended.
		cause := context.Cause(ctx)
		if e := publicError(cause); e != nil {
			return declared(e)
		}
		if errors.Is(cause, context.DeadlineExceeded) {
			return finding{code: errcodes.Timeout}
		}
		if canceled && cause != context.Canceled { //nolint:errorlint // As in callerGone.
			return finding{code: errcodes.Unavailable}
		}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return finding{code: errcodes.BodyTooLarge}
	}
	if slow && (errors.Is(err, os.ErrDeadlineExceeded) || canceled && callerGone(ctx)) {
		return finding{code: errcodes.RequestTimeout}
	}
	if behind != nil {
		return relayed(behind.Upstream())
	}
	if late || errors.Is(err, http.ErrHandlerTimeout) {
		return finding{code: errcodes.Timeout}
	}
	return finding{code: errcodes.Internal}
}

// relayed is what the failure of a server behind this one is to the callers of this one. Whose fault it was there does not matter here: a key that is refused, a quota
// that is spent and a request that is wrong were this server's.
func relayed(class errcodes.Class, wait time.Duration) finding {
	switch class {
	case errcodes.ClassTimeout:
		return finding{code: errcodes.Timeout}
	case errcodes.ClassRateLimited, errcodes.ClassOverloaded:
		return finding{code: errcodes.Unavailable, wait: max(0, wait)}
	case errcodes.ClassCanceled:
		return finding{code: errcodes.Internal} // nobody behind has failed, and no caller has left
	default:
		return finding{code: errcodes.BadGateway}
	}
}

// lookup returns the row of c, which every registry made by errcodes.New has; for any other registry it makes one.
func lookup(reg *errcodes.Registry, c errcodes.Code) errcodes.Entry {
	if row, ok := reg.Lookup(c); ok {
		return row
	}
	row, _ := errcodes.Problem().Lookup(c)
	return row
}

// statusCodes are the conditions that stand for a status when a handler says nothing else.
var statusCodes = map[int]errcodes.Code{
	http.StatusBadRequest:            errcodes.InvalidRequest,
	http.StatusUnauthorized:          errcodes.InvalidAPIKey,
	http.StatusPaymentRequired:       errcodes.InsufficientBalance,
	http.StatusForbidden:             errcodes.PermissionDenied,
	http.StatusNotFound:              errcodes.NotFound,
	http.StatusMethodNotAllowed:      errcodes.MethodNotAllowed,
	http.StatusRequestTimeout:        errcodes.RequestTimeout,
	http.StatusConflict:              errcodes.Conflict,
	http.StatusRequestEntityTooLarge: errcodes.BodyTooLarge,
	http.StatusUnsupportedMediaType:  errcodes.UnsupportedMediaType,
	http.StatusTooManyRequests:       errcodes.RateLimited,
	http.StatusInternalServerError:   errcodes.Internal,
	http.StatusBadGateway:            errcodes.BadGateway,
	http.StatusServiceUnavailable:    errcodes.Unavailable,
	http.StatusGatewayTimeout:        errcodes.Timeout,
	529:                              errcodes.Overloaded,
}

// decideStatus judges a bare status that a handler answered with, together with what its headers say of sending the request again, and with the text that it
// wrote, which only the log sees. A limiter that is not of this package, or a server behind a reverse proxy, knows best how long to wait.
func decideStatus(reg *errcodes.Registry, status int, h http.Header, now time.Time, text string) verdict {
	v := verdict{
		reg: reg, err: &textError{status: status, text: text},
		wait: waitIn(h.Get("Retry-After"), now), veto: strings.EqualFold(h.Get("X-Should-Retry"), "false"),
	}
	if code, ok := statusCodes[status]; ok {
		v.row = lookup(reg, code)
		return v
	}
	// A status without a condition keeps its number; what it means is what any client would read into it.
	like := errcodes.InvalidRequest
	if status >= http.StatusInternalServerError {
		like = errcodes.Internal
	}
	v.row = lookup(reg, like)
	known := reg.Match(status, "", "")
	v.row.Status, v.row.Class, v.row.Retry = status, known.Class, known.Retry
	v.row.MaybeExecuted, v.row.RetryAfter = known.MaybeExecuted, known.RetryAfter
	if phrase := http.StatusText(status); phrase != "" {
		v.row.Message = phrase + "."
	}
	return v
}

// waitIn returns the wait that a Retry-After states (RFC 9110 section 10.2.3), in seconds or as a date; 0 for none, for a date that has passed and for what is neither.
func waitIn(after string, now time.Time) time.Duration {
	if after == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(after, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(math.MaxInt64/time.Second))) * time.Second
	}
	date, err := http.ParseTime(after)
	if err != nil {
		return 0
	}
	return max(0, date.Sub(now))
}

// textError is an answer in plain text that was replaced.
type textError struct {
	status int
	text   string
}

func (e *textError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("handler answered %d without a body", e.status)
	}
	return fmt.Sprintf("handler answered %d with the text %q", e.status, e.text)
}

// asked is what a request says about being sent again.
type asked struct {
	repeatable bool // idempotent by its method (RFC 9110 section 9.2.2) or by its Idempotency-Key
	repeated   bool // a client of the Stainless family says that this is not its first attempt
}

func askedBy(r *http.Request) asked {
	var a asked
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace:
		a.repeatable = true
	default:
		a.repeatable = r.Header.Get("Idempotency-Key") != ""
	}
	if count := r.Header["X-Stainless-Retry-Count"]; len(count) > 0 {
		n, err := strconv.Atoi(count[0])
		a.repeated = err == nil && n >= 1
	}
	return a
}

// hint is what the answer says about being sent again.
type hint struct {
	wait    time.Duration // as the registry or the handler stated it; 0 for none
	seconds int           // of the Retry-After header, 1 to 60; 0 for none
	veto    bool          // X-Should-Retry: false
	size    int           // of the body
	long    bool          // there is no Retry-After for the row's message to point at: the wait is too long, or useless
}

// advise turns a row and what the handler asked for into a hint. Several clients repeat a request by its
// status alone, so an error that must not be repeated says so where its status would have it repeated; and a Retry-After beside
// a veto would make one popular client come back all the same.
func advise(row *errcodes.Entry, wait time.Duration, a asked) hint {
	if wait <= 0 {
		wait = row.RetryAfter
	}
	switch {
	case row.Retry == errcodes.RetryNever:
		return hint{veto: clientsRepeat(row.Status)}
	case row.Retry == errcodes.RetryChanged,
		row.MaybeExecuted && !a.repeatable,
		row.Retry == errcodes.RetryOnce && a.repeated:
		return hint{veto: true}
	}
	if wait <= 0 && row.Retry == errcodes.RetryBackoff {
		switch row.Status {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, 529:
			wait = time.Second
		}
	}
	switch {
	case wait <= 0:
		return hint{}
	case wait > errcodes.MaxRetryAfter:
		return hint{wait: wait, veto: true, long: true}
	}
	return hint{wait: wait, seconds: wholeSeconds(wait)}
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int {
	n := int(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return n
}

// clientsRepeat reports whether the clients that obey X-Should-Retry repeat a request after this status.
func clientsRepeat(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusConflict ||
		status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

// waitSentence returns the message for a wait that no header carries, 0 for none. The rows' own messages point at
// Retry-After, so they are replaced; a handler's message is kept and completed.
func waitSentence(row *errcodes.Entry, public *errcodes.Error, wait time.Duration) string {
	var s string
	switch {
	case public != nil && public.Message != "":
		s = public.Message
	case row.Class == errcodes.ClassRateLimited:
		s = "The rate limit is reached."
	case row.Class == errcodes.ClassOverloaded:
		s = "The service is not available just now."
	default:
		s = "The request cannot be served just now."
	}
	switch n := wholeSeconds(wait); {
	case n <= 0:
		return s
	case n != 1:
		return s + " Try again in " + strconv.Itoa(n) + " seconds."
	}
	return s + " Try again in 1 second."
}
