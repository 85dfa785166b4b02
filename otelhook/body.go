package otelhook

import (
	"io"
	"net/http"
	"runtime"
)

// watcher learns what becomes of a response body. Its methods are called concurrently.
type watcher interface {
	// read is told of what one Read returned.
	read(p []byte, err error)
	// closed is told that Close was called.
	closed()
	// abandoned is told that the body was collected without an end.
	abandoned()
}

// trackedBody tells a watcher about a response body. The watcher must not lead back to the body, or it is never collected.
type trackedBody struct {
	io.ReadCloser

	seen    watcher
	first   bool // tell the watcher before the body is closed, not after
	cleanup runtime.Cleanup
}

// track returns body watched by w. An upgraded connection (101 Switching Protocols) stays writable. innermost bodies tell of
// their end before the underlying Close, which may block; the others after it, so that the spans end from the inside out.
func track(body io.ReadCloser, w watcher, innermost bool) io.ReadCloser {
	b := &trackedBody{ReadCloser: body, seen: w, first: innermost}
	b.cleanup = runtime.AddCleanup(b, watcher.abandoned, w)
	if writer, ok := body.(io.Writer); ok {
		return struct {
			*trackedBody
			io.Writer
		}{b, writer}
	}
	return b
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.seen.read(p[:max(0, min(n, len(p)))], err)
	return n, err
}

func (b *trackedBody) Close() error {
	b.cleanup.Stop()
	if b.first {
		b.seen.closed()
		return b.ReadCloser.Close()
	}
	defer b.seen.closed()
	return b.ReadCloser.Close()
}

// hasBody reports whether there is something to be read from resp, so that its end is still to come.
func hasBody(resp *http.Response) bool {
	return resp != nil && resp.Body != nil && resp.Body != http.NoBody
}

// isEOF reports a clean end, which is this very value ([io.Reader]).
func isEOF(err error) bool { return err == io.EOF } //nolint:errorlint // an error that wraps it is no clean end
