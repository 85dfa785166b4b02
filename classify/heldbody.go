package classify

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

const (
	defaultBodyLimit = 64 << 10
	// defaultBodyTimeout bounds how long an error body may take to arrive before it is judged by what has.
	defaultBodyTimeout = 3 * time.Second

	// A connection is used again only when its response was read to the end.
	drainLimit   = 64 << 10
	drainTimeout = 500 * time.Millisecond

	// maxEmptyReads is how often a body may return neither bytes nor an error.
	maxEmptyReads = 100
)

// heldBody is a response body whose beginning was read ahead. It hands out every byte and
// the error of the body it holds, in their order.
//
// The reading is done by a goroutine of its own, because a stalled body can only be
// abandoned, not interrupted: the goroutine ends with the read it is in, at the latest when the body is closed.
type heldBody struct {
	rc io.ReadCloser

	mu   sync.Mutex
	buf  []byte // read ahead, not yet handed out from off on
	off  int
	err  error         // met while reading ahead, handed out after buf
	bad  *panicked     // the same
	stop bool          // the reader shall end after the read it is in
	done chan struct{} // closed when no reader is at work; nil before the first

	resp     *http.Response // whose body it is, and into which net/http writes the trailers
	declared http.Header    // the trailers that resp had from the beginning
	apart    *http.Response // what was handed out in place of resp; nil if resp itself was
}

// panicked is what the body panicked with.
type panicked struct{ value any }

// again panics as the body did, if it did: no fault may be lost, and [http.ErrAbortHandler] is to reach a server.
func (p *panicked) again() {
	if p != nil {
		panic(p.value)
	}
}

// hold reads up to limit bytes of resp's body within timeout, puts them back, and returns them. The
// slice must not be changed.
func hold(resp *http.Response, limit int64, timeout time.Duration) []byte {
	if resp.Body == nil || resp.Body == http.NoBody {
		return nil
	}
	h, ok := resp.Body.(*heldBody)
	if !ok {
		h = &heldBody{rc: resp.Body, resp: resp, declared: maps.Clone(resp.Trailer)}
		resp.Body = h
	}
	size := min(limit, 1<<10)
	if n := resp.ContentLength; n > 0 && n < limit {
		size = n + 1 // the last byte is for the read that meets the end
	}
	return h.fill(limit, size, timeout)
}

// fill reads ahead until limit bytes are held, the body ends, or timeout is over. It returns what is held.
func (h *heldBody) fill(limit, size int64, timeout time.Duration) []byte {
	h.start(limit, size)
	h.await(timeout)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bad.again()
	return h.buf[h.off:len(h.buf):len(h.buf)]
}

// start lets a goroutine read ahead, unless one is at work or nothing is left to read.
func (h *heldBody) start(limit, size int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil || h.bad != nil || int64(len(h.buf)-h.off) >= limit {
		return
	}
	if h.done != nil {
		select {
		case <-h.done:
		default:
			h.stop = false
			return
		}
	}
	if h.buf == nil {
		h.buf = make([]byte, 0, size)
	}
	h.stop = false
	h.done = make(chan struct{})
	go h.readAhead(h.done, limit)
}

// await waits until no reader is at work, at most for timeout.
func (h *heldBody) await(timeout time.Duration) {
	h.mu.Lock()
	done := h.done
	h.mu.Unlock()
	if done == nil {
		return
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		h.mu.Lock()
		h.stop = true
		h.mu.Unlock()
	}
}

func (h *heldBody) readAhead(done chan struct{}, limit int64) {
	defer close(done)
	defer func() {
		if v := recover(); v != nil {
			// It is for those who asked for the body: in this goroutine it would end the process.
			h.mu.Lock()
			h.bad = &panicked{v}
			h.mu.Unlock()
		}
	}()
	empty := 0
	for {
		h.mu.Lock()
		// Whoever looks at the buffer sees only what lies before its length, so reading
		// into the room behind it disturbs nobody.
		if len(h.buf) == cap(h.buf) {
			h.buf = append(h.buf, 0)[:len(h.buf)]
		}
		room := h.buf[len(h.buf):cap(h.buf)]
		if left := limit - int64(len(h.buf)-h.off); int64(len(room)) > left {
			room = room[:left]
		}
		h.mu.Unlock()

		n, err := h.rc.Read(room)
		if n == 0 && err == nil {
			if empty++; empty == maxEmptyReads {
				err = io.ErrNoProgress
			}
		} else {
			empty = 0
		}

		h.mu.Lock()
		h.buf = h.buf[:len(h.buf)+n]
		h.err = err
		end := err != nil || h.stop || int64(len(h.buf)-h.off) >= limit
		h.mu.Unlock()
		if end {
			return
		}
	}
}

// Read hands out what is held, then the rest of the body.
func (h *heldBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		h.mu.Lock()
		if h.off < len(h.buf) {
			n := copy(p, h.buf[h.off:])
			h.off += n
			h.mu.Unlock()
			return n, nil
		}
		done, err := h.done, h.err
		if err != nil {
			h.trail(err)
			h.mu.Unlock()
			return 0, err
		}
		bad := h.bad
		h.mu.Unlock()
		bad.again()
		if done == nil {
			n, err := h.rc.Read(p)
			h.trail(err)
			return n, err
		}
		<-done // the read that was under way when the time was up
		h.mu.Lock()
		if h.off == len(h.buf) && h.err == nil && h.bad == nil {
			h.done = nil
		}
		h.mu.Unlock()
	}
}

// trail gives the response that was handed out the trailers that came with the end of the body: in the course of a Read of its receiver, as
// [http.Response.Trailer] says.
func (h *heldBody) trail(err error) {
	if h.apart == nil || !errors.Is(err, io.EOF) {
		return
	}
	to := h.apart
	h.apart = nil
	if to.Trailer == nil {
		to.Trailer = maps.Clone(h.resp.Trailer)
		return
	}
	maps.Copy(to.Trailer, h.resp.Trailer)
}

// handedOut returns the response to hand out for resp: a copy while its body is still being read ahead, because with its end net/http
// writes the trailers into the response that it made, at any moment.
func handedOut(resp *http.Response) *http.Response {
	if resp == nil {
		return nil
	}
	h, ok := resp.Body.(*heldBody)
	if !ok || h.resp == nil {
		return resp
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done == nil {
		return resp
	}
	select {
	case <-h.done:
		return resp
	default:
	}
	h.apart = &http.Response{
		Status: resp.Status, StatusCode: resp.StatusCode, Proto: resp.Proto, ProtoMajor: resp.ProtoMajor, ProtoMinor: resp.ProtoMinor,
		Header: resp.Header, Body: h, ContentLength: resp.ContentLength, TransferEncoding: resp.TransferEncoding, Close: resp.Close,
		Uncompressed: resp.Uncompressed, Trailer: h.declared, Request: resp.Request, TLS: resp.TLS,
	}
	return h.apart
}

// Close closes the body. It may be called while a read is under way, as [http.Response.Body] allows.
func (h *heldBody) Close() error {
	h.mu.Lock()
	h.stop = true
	h.mu.Unlock()
	return h.rc.Close()
}

// drain reads a bounded rest of body within a bounded time and closes it, so that the connection is used again.
func drain(body io.ReadCloser) {
	if body == nil || body == http.NoBody {
		return
	}
	h, ok := body.(*heldBody)
	if !ok {
		h = &heldBody{rc: body}
	}
	defer h.Close() //nolint:errcheck // the response is given up; nobody would know what to do about it
	h.mu.Lock()
	held := int64(len(h.buf) - h.off)
	ended := h.err != nil
	h.mu.Unlock()
	if !ended {
		// One byte more than the limit: a body of exactly that length has an end to be met.
		h.start(held+drainLimit+1, drainLimit/8)
		h.await(drainTimeout)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bad.again()
	}
}

// drained returns resp with the body that drain has read, if that was all of it; else nil.
func drained(resp *http.Response) *http.Response {
	if resp == nil || resp.Body == nil || resp.Body == http.NoBody {
		return resp
	}
	h, ok := resp.Body.(*heldBody)
	if !ok {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !errors.Is(h.err, io.EOF) {
		return nil
	}
	h.trail(h.err)
	resp.Body = io.NopCloser(bytes.NewReader(h.buf[h.off:]))
	return resp
}
