package classify

import (
	"bytes"
	"errors"
	"io"
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
	stop bool          // the reader shall end after the read it is in
	done chan struct{} // closed when no reader is at work; nil before the first
}

// hold reads up to limit bytes of resp's body within timeout, puts them back, and returns them. The
// slice must not be changed.
func hold(resp *http.Response, limit int64, timeout time.Duration) []byte {
	if resp.Body == nil || resp.Body == http.NoBody {
		return nil
	}
	h, ok := resp.Body.(*heldBody)
	if !ok {
		h = &heldBody{rc: resp.Body}
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
	return h.buf[h.off:len(h.buf):len(h.buf)]
}

// start lets a goroutine read ahead, unless one is at work or nothing is left to read.
func (h *heldBody) start(limit, size int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil || int64(len(h.buf)-h.off) >= limit {
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
		h.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if done == nil {
			return h.rc.Read(p)
		}
		<-done // the read that was under way when the time was up
		h.mu.Lock()
		if h.off == len(h.buf) && h.err == nil {
			h.done = nil
		}
		h.mu.Unlock()
	}
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
	h.mu.Lock()
	held := int64(len(h.buf) - h.off)
	ended := h.err != nil
	h.mu.Unlock()
	if !ended {
		// One byte more than the limit: a body of exactly that length has an end to be met.
		h.start(held+drainLimit+1, drainLimit/8)
		h.await(drainTimeout)
	}
	_ = h.Close() // the response is given up; nobody would know what to do about it
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
	resp.Body = io.NopCloser(bytes.NewReader(h.buf[h.off:]))
	return resp
}
