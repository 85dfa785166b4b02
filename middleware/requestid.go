package middleware

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
	"unsafe"
)

// Who can lie: everything that arrives in a header was written by the caller. So the id of a request is always
// made here; what the caller sends is at most written down beside it. An id is not a secret, but it is hard to guess, so that
// knowing one id does not give away the others.

const (
	headerRequestID      = "X-Request-Id"
	headerRequestIDShort = "Request-Id"
	requestIDPrefix      = "req_"
	requestIDLen         = len(requestIDPrefix) + 32
	maxInboundID         = 128
)

// RequestIDs says how requests are numbered. The zero value makes a fresh id for each request, sends it as
// X-Request-Id, and believes nothing that the caller sends.
//
// An id is "req_" and 32 lower-case hex digits that hold a UUID version 7 (RFC 9562 section 5.7): ids sort by time, survive
// a double click, and their hex part is a legal W3C trace-id.
type RequestIDs struct {
	// TrustTraceparent takes the trace-id of a valid traceparent header (W3C Trace Context level 2) as the hex
	// part, so that the id in a support ticket leads to the trace. All requests of one trace then have the same id. Set it only behind a proxy
	// of your own that writes the header: it lets the caller choose the id.
	TrustTraceparent bool
	// Inbound names the header in which callers may send an id of their own, such as "X-Client-Request-Id"; ""
	// accepts none. It is correlation, never identity: it is logged as client_request_id and given by
	// [ClientRequestIDFrom], and is not sent back. It must be 1 to 128 bytes of A-Z a-z 0-9 . _ : - and stand there once;
	// anything else is ignored, never trimmed.
	Inbound string
	// Short sends the id as Request-Id too, which is the only header the Anthropic clients read. Answers in the Anthropic
	// dialect and streams in the [Messages] form have it anyway.
	Short bool
}

// RequestID returns next with a request id: in the context ([RequestIDFrom]) and in the header X-Request-Id of every
// response, set before next runs. [ErrorWriter.Wrap] does this too, so use it alone only where recovery
// and error shaping are not wanted. A request that already has an id keeps it.
//
// net/http answers some malformed requests itself, before any handler; those answers have no id.
func (ew *ErrorWriter) RequestID(next http.Handler) http.Handler {
	var clock watch
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requestFrom(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		c := &requestContext{Context: r.Context()}
		c.assign(&ew.RequestIDs, r, clock.now())
		c.announce(w.Header(), ew.RequestIDs.Short || ew.speaksAnthropic(r))
		inner := r.WithContext(c) //nolint:contextcheck // It is a child of the request's own.
		defer handOut(inner, r)
		next.ServeHTTP(w, inner)
	})
}

// RequestIDFrom returns the id of the request that ctx belongs to, "" when neither [ErrorWriter.Wrap] nor
// [ErrorWriter.RequestID] has seen it.
func RequestIDFrom(ctx context.Context) string {
	if c := requestFrom(ctx); c != nil {
		return c.id[0]
	}
	return ""
}

// ClientRequestIDFrom returns the id that the caller sent in the header [RequestIDs.Inbound], "" for none. Do
// not use it as a key of anything: the caller chose it.
func ClientRequestIDFrom(ctx context.Context) string {
	if c := requestFrom(ctx); c != nil {
		return c.clientID
	}
	return ""
}

// requestContext is the context of a request. The id and the slice in which net/http wants it lie in
// the same object, because every allocation here is paid by every request.
type requestContext struct {
	context.Context

	id       [1]string // over buf, which never changes once the id is made; an array, since net/http wants a slice of it
	clientID string
	buf      [requestIDLen]byte
	response *response // nil outside of Wrap
}

type requestContextKey struct{}

// Value answers for this package's own key and asks the parent for any other.
func (c *requestContext) Value(key any) any {
	if key == any(requestContextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func requestFrom(ctx context.Context) *requestContext {
	if c, ok := ctx.(*requestContext); ok {
		return c
	}
	c, _ := ctx.Value(requestContextKey{}).(*requestContext)
	return c
}

// assign makes the id and looks at what the caller sent.
func (c *requestContext) assign(ids *RequestIDs, r *http.Request, now time.Time) {
	copy(c.buf[:], requestIDPrefix)
	trace := ""
	if ids.TrustTraceparent {
		trace = traceIDIn(r.Header)
	}
	if trace != "" {
		copy(c.buf[len(requestIDPrefix):], trace)
	} else {
		high, low := uuidV7(now)
		putHex(c.buf[len(requestIDPrefix):], high)
		putHex(c.buf[len(requestIDPrefix)+16:], low)
	}
	c.id[0] = unsafe.String(&c.buf[0], requestIDLen) //nolint:gosec // The bytes are written above and never again: one allocation less for each request.
	if ids.Inbound != "" {
		if sent := r.Header.Values(ids.Inbound); len(sent) == 1 && isInboundID(sent[0]) {
			c.clientID = sent[0]
		}
	}
}

// announce sets the response headers.
func (c *requestContext) announce(h http.Header, short bool) {
	h[headerRequestID] = c.id[:]
	if short {
		h[headerRequestIDShort] = c.id[:]
	}
}

// watch tells the time. [time.Now] reads two clocks of the system, the wall's and the monotonic one, and that is a fifth of what a request costs here; so the
// wall is read once a minute, and in between the time that has passed is added. The zero value is ready.
type watch struct{ read atomic.Pointer[time.Time] }

// maxUnread bounds how long a step of the wall clock goes unnoticed.
const maxUnread = time.Minute

func (w *watch) now() time.Time {
	if read := w.read.Load(); read != nil {
		if passed := time.Since(*read); passed >= 0 && passed < maxUnread {
			return read.Add(passed)
		}
	}
	now := time.Now()
	w.read.Store(&now)
	return now
}

// uuidV7 returns 48 bits of milliseconds and 74 random bits. The generator of math/rand/v2 is ChaCha8, seeded by the system and never told its
// state by what it gives out; it costs a tenth of crypto/rand, which each request would pay.
func uuidV7(now time.Time) (high, low uint64) {
	high, low = rand.Uint64(), rand.Uint64() //nolint:gosec // See above; an id is no secret either.
	return uint64(now.UnixMilli())<<16 | 0x7000 | high&0x0fff, low&^(3<<62) | 2<<62
}

// putHex writes the 16 lower-case hex digits of n.
func putHex(dst []byte, n uint64) {
	_ = dst[15]
	binary.BigEndian.PutUint64(dst, hexDigits(uint32(n>>32)))
	binary.BigEndian.PutUint64(dst[8:], hexDigits(uint32(n)))
}

// hexDigits spreads the eight nibbles of n over eight bytes and turns them into digits, all at a time.
func hexDigits(n uint32) uint64 {
	const ones = 0x0101010101010101
	x := uint64(n)
	x = (x<<16 | x) & 0x0000ffff_0000ffff
	x = (x<<8 | x) & 0x00ff00ff_00ff00ff
	x = (x<<4 | x) & 0x0f0f0f0f_0f0f0f0f
	letters := (x + 6*ones) >> 4 & ones // 1 in each byte that is 10 or more
	return x + '0'*ones + letters*('a'-'0'-10)
}

// traceIDIn returns the trace-id of the one traceparent in h, "" if it is not valid.
func traceIDIn(h http.Header) string {
	if lines := h["Traceparent"]; len(lines) == 1 {
		return traceID(lines[0])
	}
	return ""
}

// traceID returns the trace-id of a traceparent header, "" unless all of it is valid: version-traceid-parentid-flags in
// lower-case hex, not version ff, neither id all zero. Later versions may append fields.
func traceID(s string) string {
	const length = 55
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return ""
	}
	version, trace, parent, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !isLowerHex(version) || !isLowerHex(trace) || !isLowerHex(parent) || !isLowerHex(flags) {
		return ""
	}
	if version == "ff" || isZeros(trace) || isZeros(parent) {
		return ""
	}
	if len(s) > length && (version == "00" || s[length] != '-') {
		return ""
	}
	return trace
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isZeros(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}

func isInboundID(s string) bool {
	if s == "" || len(s) > maxInboundID {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}
