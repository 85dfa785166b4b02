package classify

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

const (
	chunk = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"an error, \\\"error\\\": none\"}}]}\n\n"
	done  = "data: [DONE]\n\n"

	reason      = "data: {\"choices\":[{\"delta\":{},\"finish_reason\": \"stop\"}]}\n\n"
	emptyReason = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"\"}]}\n\n"
	textReason  = "data: {\"choices\":[{\"delta\":{\"content\":\"{\\\"choices\\\":[{\\\"finish_reason\\\":\\\"stop\\\"}]}\"},\"finish_reason\":null}]}\n\n"
)

// eventStream returns what a Transport with StreamErrors makes of a stream.
func eventStream(t *testing.T, body io.Reader, header ...string) *http.Response {
	t.Helper()
	h := http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}, "X-Request-Id": {"req_s"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(body), Request: r}, nil
	})
	resp, err := (&Transport{Base: base, StreamErrors: true}).RoundTrip(post(t, t.Context(), "{}"))
	require.NoError(t, err)
	return resp
}

func TestStreamErrors(t *testing.T) {
	long := "data: {\"text\":\"" + strings.Repeat("x", 100<<10) + "\"}\n\n"
	chatError := "data: {\"error\":{\"message\":\"The engine is overloaded.\",\"type\":\"server_error\",\"code\":\"server_overloaded\"}}\n\n"
	for _, tt := range []struct {
		name, in, out string
		class         errcodes.Class // "" for a good end
		message       string
		safety        Safety
	}{
		{"chat", chunk + chunk + done, chunk + chunk + done, errcodes.ClassUnknown, "", 0},
		{"chat without the empty line at the end", chunk + "data: [DONE]", chunk + "data: [DONE]", errcodes.ClassUnknown, "", 0},
		{"crlf", strings.ReplaceAll(chunk+done, "\n", "\r\n"), strings.ReplaceAll(chunk+done, "\n", "\r\n"), errcodes.ClassUnknown, "", 0},
		{"comments", ": ping\n\n" + chunk + ": ping\n\n\n" + done, ": ping\n\n" + chunk + ": ping\n\n\n" + done, errcodes.ClassUnknown, "", 0},
		{"messages", "event: message_start\ndata: {}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"messages, names in the data alone", "data: {\"type\": \"message_start\"}\n\ndata: {\"type\": \"message_stop\"}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"responses", "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\nevent: response.completed\ndata: {}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"gemini", "data: {\"candidates\":[{\"finishReason\":null}]}\n\ndata: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n", "=", errcodes.ClassUnknown, "", 0},
		{"gemini, a blocked one", "data: {\"candidates\":[{\"finishReason\":\"SAFETY\"}]}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"chat that ends with a reason", chunk + reason, "=", errcodes.ClassUnknown, "", 0},
		{"chat that ends with a reason and usage", chunk + reason + "data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"chat of two choices", chunk + reason + chunk + reason, "=", errcodes.ClassUnknown, "", 0},
		{"a transcript", "event: transcript.text.delta\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\"a\"}\n\nevent: transcript.text.done\ndata: {\"type\":\"transcript.text.done\",\"text\":\"a\"}\n\n",
			"=", errcodes.ClassUnknown, "", 0},
		{"speech", "data: {\"type\":\"speech.audio.delta\"}\n\ndata: {\"type\":\"speech.audio.done\"}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"an image", "event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\"}\n\nevent: image_generation.completed\ndata: {\"type\":\"image_generation.completed\",\"b64_json\":\"" +
			strings.Repeat("A", 100<<10) + "\"}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"a long answer", "data: {\"type\":\"response.created\"}\n\ndata: {\"type\":\"response.completed\",\"text\":\"" + strings.Repeat("x", 100<<10) + "\"}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"JSON-RPC", "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"message_stop\"}]}}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"a form of its own", "data: tick\n\ndata: tock\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"a long event of a form of its own", long, "=", errcodes.ClassUnknown, "", 0},
		{"long event", long + done, "=", errcodes.ClassUnknown, "", 0},

		{"chat error", chunk + chatError + done, chunk, errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"chat error first", chatError, "", errcodes.ClassOverloaded, "The engine is overloaded.", Rejected},
		{"chat error after a long event", long + chunk + chatError, long + chunk, errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"chat error at the end, cut", chunk + strings.TrimSpace(chatError), chunk, errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"error body in a stream", chunk + "{\"error\":{\"message\":\"The engine is overloaded.\"}}", chunk, errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"messages error", "event: message_start\ndata: {}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
			"event: message_start\ndata: {}\n\n", errcodes.ClassOverloaded, "Overloaded", MaybeExecuted},
		{"an error event without a shape", "event: error\ndata: the service is overloaded\n\n", "", errcodes.ClassOverloaded, "the service is overloaded", Rejected},
		{"responses failed", "event: response.created\ndata: {}\n\nevent: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"Slow.\"}}}\n\n",
			"event: response.created\ndata: {}\n\n", errcodes.ClassRateLimited, "Slow.", MaybeExecuted},

		{"an error with a reason", chunk + "data: {\"error\":{\"message\":\"Overloaded\",\"code\":503},\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n", chunk, errcodes.ClassOverloaded, "Overloaded", MaybeExecuted},
		{"a choice that goes on behind another's end", chunk + reason + chunk, chunk + reason + chunk, errcodes.ClassNetwork, "", MaybeExecuted},
		{"an empty reason", chunk + emptyReason, chunk + emptyReason, errcodes.ClassNetwork, "", MaybeExecuted},
		{"a reason in the text", chunk + textReason, chunk + textReason, errcodes.ClassNetwork, "", MaybeExecuted},
		{"half a transcript", "event: transcript.text.delta\ndata: {}\n\n", "event: transcript.text.delta\ndata: {}\n\n", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a part of a response", "event: response.output_text.done\ndata: {}\n\n", "event: response.output_text.done\ndata: {}\n\n", errcodes.ClassNetwork, "", MaybeExecuted},
		{"chat behind a hello", "data: hello\n\n" + chunk, "data: hello\n\n" + chunk, errcodes.ClassNetwork, "", MaybeExecuted},
		{"no end", chunk, chunk, errcodes.ClassNetwork, "", MaybeExecuted},
		{"half an event", chunk + "data: {\"cho", chunk + "data: {\"cho", errcodes.ClassNetwork, "", MaybeExecuted},
		{"nothing", "", "", errcodes.ClassNetwork, "", MaybeExecuted},
		{"comments alone", ": ping\n\n", ": ping\n\n", errcodes.ClassNetwork, "", MaybeExecuted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.out
			if want == "=" {
				want = tt.in
			}
			for name, wrap := range map[string]func(io.Reader) io.Reader{
				"at once": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader, "with the end": iotest.DataErrReader,
			} {
				resp := eventStream(t, wrap(strings.NewReader(tt.in)))
				got, err := io.ReadAll(resp.Body)
				require.Equal(t, want, string(got), name)
				require.NoError(t, resp.Body.Close())
				if tt.class == errcodes.ClassUnknown {
					require.NoError(t, err, name)
					continue
				}
				e, ok := errors.AsType[*Error](err)
				require.True(t, ok, name)
				require.Equal(t, tt.class, e.Decision.Class, name)
				require.Equal(t, tt.message, e.Decision.Message, name)
				require.Equal(t, tt.safety, e.Decision.Safety, name)
				require.Equal(t, StopBegun, e.Stop)
				require.Equal(t, 200, e.Decision.Status)
				require.Equal(t, "req_s", e.Decision.RequestID)
				require.Len(t, e.Attempts, 1)
				_, again := resp.Body.Read(make([]byte, 10))
				require.Equal(t, err, again, "the error stays")
			}
		})
	}
}

func TestStreamErrorsOfTheConnection(t *testing.T) {
	resp := eventStream(t, io.MultiReader(strings.NewReader(chunk), iotest.ErrReader(io.ErrUnexpectedEOF)))
	got, err := io.ReadAll(resp.Body)
	require.Equal(t, chunk, string(got))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorIs(t, err, errcodes.ClassNetwork)
	require.ErrorContains(t, err, "the response had begun")

	// After the terminal event nothing is missing, whatever becomes of the connection.
	resp = eventStream(t, io.MultiReader(strings.NewReader(chunk+done), iotest.ErrReader(io.ErrClosedPipe)))
	_, err = io.ReadAll(resp.Body)
	require.Equal(t, io.ErrClosedPipe, err)

	// A body that brings nothing for ever ends.
	resp = eventStream(t, io.MultiReader(strings.NewReader("data: half"), nothing{}))
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrNoProgress)
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestStreamErrorsLeavesTheRestAlone(t *testing.T) {
	for _, header := range [][]string{{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}, {"Content-Type", ""}} {
		body := strings.NewReader("anything")
		resp := eventStream(t, body, header...)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "anything", string(got))
	}
}

// The history of the call stands in the error of its stream.
func TestStreamErrorsAfterARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{script: []answer{
			{status: 503, header: map[string]string{"X-Request-Id": "r1"}},
			{status: 200, header: map[string]string{"Content-Type": "text/event-stream", "X-Request-Id": "r2"}, body: chunk},
		}}
		resp, err := (&Transport{Base: s, StreamErrors: true}).RoundTrip(post(t, t.Context(), "{}"))
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.NoError(t, resp.Body.Close())
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		require.Len(t, e.Attempts, 2)
		require.Equal(t, "r1", e.Attempts[0].RequestID)
		require.Equal(t, "r2", e.Attempts[1].RequestID)
		require.Len(t, AttemptsOf(resp), 2)
		require.Equal(t, s.open, s.closed)
		require.Len(t, s.times, 2, "nothing is sent again")
	})
}

// A wait that an event states is counted from the event, and one that nothing states leaves RetryAt alone.
func TestStreamErrorsRetryAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			event string
			wait  time.Duration
			from  Source
		}{
			{"data: {\"error\":{\"message\":\"Try again in 3 seconds.\",\"code\":\"rate_limit_exceeded\"}}\n\n", 3 * time.Second, SourceText},
			{"data: {\"error\":{\"message\":\"Slow down.\",\"code\":\"rate_limit_exceeded\"}}\n\n", 0, SourceNone},
			{"", 0, SourceNone}, // no terminal event
		} {
			begun := time.Now()
			resp := eventStream(t, io.MultiReader(strings.NewReader(chunk), &late{after: 10 * time.Second, r: strings.NewReader(tt.event)}))
			_, err := io.ReadAll(resp.Body)
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Equal(t, StopBegun, e.Stop)
			require.Equal(t, tt.wait, e.Decision.Wait)
			require.Equal(t, tt.from, e.Decision.WaitFrom)
			if tt.wait == 0 {
				require.Zero(t, e.RetryAt)
				continue
			}
			require.Equal(t, begun.Add(10*time.Second+tt.wait), e.RetryAt)
		}
	})
}

// late is a reader that brings nothing for a while.
type late struct {
	after time.Duration
	r     io.Reader
}

func (l *late) Read(p []byte) (int, error) {
	<-time.After(l.after)
	l.after = 0
	return l.r.Read(p)
}

// How many events arrived is said in words.
func TestStreamErrorsCountsEvents(t *testing.T) {
	for in, want := range map[string]string{"": "after 0 events without", chunk: "after 1 event without", chunk + chunk: "after 2 events without"} {
		_, err := io.ReadAll(eventStream(t, strings.NewReader(in)).Body)
		require.ErrorContains(t, err, want)
	}
}

// Whole events go into the reader's slice: nothing is allocated per event.
func TestStreamErrorsCopiesNothing(t *testing.T) {
	events := &endless{event: []byte(chunk)}
	resp := eventStream(t, events)
	p := make([]byte, 4096)
	_, _ = resp.Body.Read(p)
	require.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = resp.Body.Read(p) }))
}

type endless struct{ event []byte }

func (e *endless) Read(p []byte) (int, error) { return copy(p, e.event), nil }

// However the bytes arrive, what is handed out is the same, and a part of what came in.
func FuzzStreamErrors(f *testing.F) {
	f.Add([]byte(chunk+done), 3)
	f.Add([]byte(chunk+"data: {\"error\":{}}\n\n"+done), 1)
	f.Add([]byte(": x\n\nevent: error\r\ndata: {\n\n"), 7)
	f.Add([]byte("data: "+strings.Repeat("y", 70<<10)+"\n\n"+chunk), 1000)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		read := func(r io.Reader, size int) ([]byte, error) {
			body := &eventBody{ctx: t.Context(), rc: io.NopCloser(r), resp: &http.Response{StatusCode: 200}}
			var out []byte
			p := make([]byte, max(size&0x1fff, 1))
			for {
				n, err := body.Read(p)
				out = append(out, p[:n]...)
				if err != nil {
					return out, err
				}
			}
		}
		whole, err1 := read(bytes.NewReader(in), 1<<13)
		parts, err2 := read(iotest.OneByteReader(bytes.NewReader(in)), size)
		require.True(t, bytes.HasPrefix(in, whole))
		require.True(t, bytes.HasPrefix(in, parts))
		if len(in) < maxEvent {
			require.Equal(t, string(whole), string(parts))
			require.Equal(t, err1 == io.EOF, err2 == io.EOF)
		}
		if err1 == io.EOF {
			require.Equal(t, string(in), string(whole))
		}
	})
}
