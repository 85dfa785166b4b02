package classify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
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
	image := "data: {\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"" + strings.Repeat("A", 100<<10) + "\"}}]}"
	hello := "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"tools\":[{\"type\":\"function\"}]}}\n\n"
	cohere := "event: message-start\ndata: {\"type\":\"message-start\"}\n\n"
	two := chunkOf(0, "null") + chunkOf(1, "null")
	cr := strings.NewReplacer("\n", "\r").Replace
	crlf := strings.NewReplacer("\n", "\r\n").Replace
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
		{"a long event with the reason", chunk + "data: {\"choices\":[{\"delta\":{\"content\":\"" + strings.Repeat("x", 100<<10) + "\"},\"finish_reason\":\"stop\"}]}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"gemini, an image", image + ",\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{}}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"gemini, an image, crlf", crlf(image + ",\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{}}\n\n"), "=", errcodes.ClassUnknown, "", 0},
		{"gemini, an image and more behind it", image + ",\"index\":0}]}\n\ndata: {\"candidates\":[{\"finishReason\":\"STOP\",\"index\":0}]}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"gemini, an image in several lines of data", strings.ReplaceAll(image, ":[", ":\ndata: [") + ",\n: ping\ndata:\"finishReason\":\"STOP\"}]}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"gemini in a wrapper", "data: {\"response\":{\"candidates\":[{\"content\":{}}]}}\n\ndata: {\"response\":{\"candidates\":[{\"finishReason\":\"STOP\"}]}}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"responses, the type at the end", hello + "data: {\"response\":{\"output\":[{\"type\":\"message\"}],\"error\":null},\"sequence_number\":2,\"type\":\"response.completed\"}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"responses, the type at the end of a long event", hello + "data: {\"response\":{\"output\":[{\"type\":\"message\",\"text\":\"" + strings.Repeat("\\\"x", 40<<10) + "\"}]},\"type\":\"response.completed\"}\n\n",
			"=", errcodes.ClassUnknown, "", 0},
		{"two choices, one after the other", chunk + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
			"=", errcodes.ClassUnknown, "", 0},
		{"two choices that end in one chunk", chunk + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"},{\"finish_reason\":\"stop\",\"delta\":{},\"index\":1}]}\n\n",
			"=", errcodes.ClassUnknown, "", 0},
		{"two choices, the first ended before", chunkOf(0, `"stop"`) + "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null},{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
			"=", errcodes.ClassUnknown, "", 0},
		{"many choices", chunkOf(0, "null") + chunkOf(127, "null") + chunkOf(127, `"stop"`) + chunkOf(0, `"stop"`), "=", errcodes.ClassUnknown, "", 0},
		{"choices beyond those told apart", chunkOf(3000, "null") + chunkOf(3000, `"stop"`), "=", errcodes.ClassUnknown, "", 0},
		{"what a filter found behind the end", chunkOf(0, `"stop"`) + "data: {\"choices\":[{\"index\":0,\"finish_reason\":null,\"content_filter_results\":{},\"content_filter_offsets\":{\"check_offset\":9}}]}\n\n",
			"=", errcodes.ClassUnknown, "", 0},
		{"half of the usage", chunk + reason + "data: {\"choices\":[],\"usage\":{\"total", "=", errcodes.ClassUnknown, "", 0},
		{"half of the usage behind the choice that ended", chunk + reason + "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"total", "=", errcodes.ClassUnknown, "", 0},
		{"the last chunk whole but for the empty line", strings.TrimSpace(chunk + reason), "=", errcodes.ClassUnknown, "", 0},
		{"cr", cr(chunk + done), "=", errcodes.ClassUnknown, "", 0},
		{"cr and comments", cr(": ping\n\n" + chunk + "\n\n: ping\n\n" + reason), "=", errcodes.ClassUnknown, "", 0},
		{"all the line ends", chunk + cr(chunk) + crlf(chunk) + "\n" + cr(chunk) + "\n" + crlf(reason), "=", errcodes.ClassUnknown, "", 0},
		{"a byte order mark", "\xef\xbb\xbf" + chunk + done, "=", errcodes.ClassUnknown, "", 0},
		{"a byte order mark before the end", "\xef\xbb\xbf" + done, "=", errcodes.ClassUnknown, "", 0},
		{"a tool's type", "data: {\"jsonrpc\":\"2.0\",\"result\":{\"type\":\"message_start\",\"choices\":[{}]}}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"message-end", cohere + "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"error\":null,\"finish_reason\":\"COMPLETE\"}}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"a delta with an error of another form", "data: {\"type\":\"tick\",\"delta\":{\"error\":\"0.01\"},\"reason\":\"error\"}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"response.incomplete", hello + "data: {\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\",\"error\":null,\"incomplete_details\":{\"reason\":\"content_filter\"},\"output\":[{\"type\":\"mcp_call\",\"status\":\"failed\",\"error\":\"x\"}]}}\n\n",
			"=", errcodes.ClassUnknown, "", 0},
		{"done", "event: output\ndata: hi\n\nevent: done\ndata: {}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"output of words that look like errors", "event: output\ndata: {\"error\":\"not found\"}\n\nevent: output\ndata: {\"finish_reason\":\"error\"}\n\n" +
			"event: output\ndata: {\"choices\":[{\"finish_reason\":\"error\"}]}\n\nevent: output\ndata: {\"type\":\"error\",\"message\":\"Overloaded\"}\n\n" +
			"event: logs\ndata: {\"error\":\"none\"}\n\nevent: output\ndata: {\"delta\":{\"finish_reason\":\"timeout\"}}\n\nevent: done\ndata: {}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"a long output of words that look like errors", "event: output\ndata: {\"error\":\"not found\",\"text\":\"" + strings.Repeat("x", 100<<10) + "\",\"finish_reason\":\"error\"}\n\nevent: done\ndata: {}\n\n",
			"=", errcodes.ClassUnknown, "", 0},
		{"a reason in an event of another form", "event: tick\ndata: {\"finish_reason\":\"error\",\"choices\":[]}\n\ndata: [DONE]\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"text-generation", "event: stream-start\ndata: {\"event_type\":\"stream-start\"}\n\nevent: text-generation\ndata: {\"event_type\":\"text-generation\",\"text\":\"a\"}\n\n" +
			"event: stream-end\ndata: {\"event_type\":\"stream-end\",\"finish_reason\":\"COMPLETE\"}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"text-generation, names in the data alone", "data: {\"event_type\":\"stream-start\"}\n\ndata: {\"event_type\":\"stream-end\"}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"output with choices", dashScope("null") + dashScope("stop"), "=", errcodes.ClassUnknown, "", 0},
		{"output with text", strings.NewReplacer("\"choices\":[{\"message\":{\"content\":\"a\"},", "\"text\":\"a\",", "}]", "").Replace(dashScope("null") + dashScope("stop")), "=", errcodes.ClassUnknown, "", 0},
		{"choices in data", "data: {\"data\":{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}}\n\ndata: {\"data\":{\"choices\":[{\"finish_reason\":\"stop\"}]}}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"choices in a list", "data: [{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}]\n\ndata: [1,\"choices\",{\"choices\":[{\"finish_reason\":\"stop\"}]}]\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"chat in a list that ends with [DONE]", "data: [{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}]\n\ndata:  [DONE] \n\n", "=", errcodes.ClassUnknown, "", 0},
		{"lists of a form of their own", "data: [INST] \"\n\ndata: [\n\ndata: [[]]\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"fields of other forms", "error: none\ndata: x\n\nerror\ndata: y\n\ndata: z\nerror: {\n[debug]\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"groq, no error", chunk + "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"r\",\"error\":\"\",\"usage\":{\"error\":\"x\"}}}\n\n", "=", errcodes.ClassUnknown, "", 0},
		{"a form of its own behind a ping", "event: ping\ndata: {}\n\ndata: tick\n\n", "=", errcodes.ClassUnknown, "", 0},
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

		{"responses failed, without an error", hello + failedAs(`"error":null,`+essay+`}`), hello, errcodes.ClassServerError, "", MaybeExecuted},
		{"responses failed, named alone", hello + "event: response.failed\ndata: {\"response\":{\"error\":null," + essay + "}}\n\n", hello, errcodes.ClassServerError, "", MaybeExecuted},
		{"responses failed, the error behind the answer", hello + failedAs(essay+`,"error":{"code":"server_error","message":"Sorry."}}`), hello, errcodes.ClassServerError, "Sorry.", MaybeExecuted},
		{"responses failed, the error behind a long answer", hello + failedAs(strings.Replace(essay, "essay", strings.Repeat("essay ", 20<<10), 1)+`,"error":{"code":"server_error","message":"Sorry."}}`),
			hello, errcodes.ClassServerError, "", MaybeExecuted},
		{"responses failed, the error behind a long prompt", hello + failedAs(`"instructions":"You exceeded your current quota. `+strings.Repeat("x", 100<<10)+`","error":{"code":"server_error"}}`),
			hello, errcodes.ClassServerError, "", MaybeExecuted},
		{"responses failed, the error before a long answer", hello + failedAs(`"error":{"code":"rate_limit_exceeded","message":"Slow."},`+strings.Replace(essay, "essay", strings.Repeat("essay ", 20<<10), 1)+`}`),
			hello, errcodes.ClassRateLimited, "Slow.", MaybeExecuted},
		{"response.completed that failed without an error", hello + "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"failed\",\"error\":null," + essay + "}}\n\n", hello, errcodes.ClassServerError, "", MaybeExecuted},
		{"a run failed", "event: thread.run.failed\ndata: {\"status\":\"failed\",\"instructions\":\"You exceeded your current quota.\",\"last_error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"Slow.\"}}\n\n",
			"", errcodes.ClassRateLimited, "Slow.", Rejected},
		{"a long error event, the error behind the rest", chunk + "event: error\ndata: {\"type\":\"error\",\"text\":\"You exceeded your current quota. " + strings.Repeat("x", 100<<10) + "\",\"error\":{\"message\":\"Overloaded\"}}\n\n",
			chunk, errcodes.ClassServerError, "", MaybeExecuted},
		{"a long error event, the error before the rest", chunk + "event: error\ndata: {\"type\":\"error\",\"code\":\"server_overloaded\",\"message\":\"Overloaded\",\"text\":\"You exceeded your current quota. " + strings.Repeat("x", 100<<10) + "\"}\n\n",
			chunk, errcodes.ClassOverloaded, "Overloaded", MaybeExecuted},
		{"a long error event of text", chunk + "event: error\ndata: You exceeded your current quota. " + strings.Repeat("x", 100<<10) + "\n\n", chunk, errcodes.ClassServerError, "", MaybeExecuted},
		{"an error that is long itself", chunk + "data: {\"error\":{\"code\":\"server_overloaded\",\"message\":\"" + strings.Repeat("x", 100<<10) + "\"}}\n\n",
			chunk, errcodes.ClassOverloaded, strings.Repeat("x", 64<<10-len("data: {\"error\":{\"code\":\"server_overloaded\",\"message\":\"")), MaybeExecuted},
		{"a field of an error", chunk + "error: {\"code\":503,\"message\":\"The engine is overloaded.\",\"type\":\"unavailable_error\"}\n\n" + done, chunk, errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"a field of an error, first", "error:{\"code\":500,\"message\":\"Compute error.\"}\n\n", "", errcodes.ClassServerError, "Compute error.", Rejected},
		{"a name that ends in error", hello + "event: conversation.response.error\ndata: {\"type\":\"conversation.response.error\",\"message\":\"Overloaded\",\"code\":503}\n\n", hello, errcodes.ClassOverloaded, "Overloaded", MaybeExecuted},
		{"a choice that is toxic", chunk + "data: {\"choices\":[{\"finish_reason\":\"ERROR_TOXIC\"}]}\n\n" + done, chunk, errcodes.ClassServerError, "", MaybeExecuted},
		{"stream-end at a limit", "event: stream-end\ndata: {\"finish_reason\":\"error_limit\"}\n\n", "", errcodes.ClassServerError, "", MaybeExecuted},
		{"a list with an error", chunk + "[{\n  \"error\": {\"code\":503,\"message\":\"The model is overloaded.\",\"status\":\"UNAVAILABLE\"}\n}]\n", chunk, errcodes.ClassOverloaded, "The model is overloaded.", MaybeExecuted},
		{"a list with an error, indented", " [{\"error\":{\"code\":503,\"message\":\"The model is overloaded.\"}}]", "", errcodes.ClassOverloaded, "The model is overloaded.", Rejected},
		{"groq, over capacity", chunk + "data: {\"choices\":[{\"delta\":{}}],\"x_groq\":{\"id\":\"r\",\"error\":\"over_capacity\"}}\n\n" + done, chunk, errcodes.ClassOverloaded, "", MaybeExecuted},
		{"groq, another error", chunk + "data: {\"choices\":[],\"x_groq\":{\"error\":\"x\"}}\n\n" + done, chunk, errcodes.ClassServerError, "", MaybeExecuted},
		{"one choice of two in error, [DONE]", two + chunkOf(1, `"error"`) + chunkOf(0, "null") + chunkOf(0, `"stop"`) + done, two + chunkOf(1, `"error"`) + chunkOf(0, "null") + chunkOf(0, `"stop"`), errcodes.ClassServerError, "", MaybeExecuted},
		{"one choice of two in error, no [DONE]", two + chunkOf(1, `"timeout"`) + chunkOf(0, `"stop"`), "=", errcodes.ClassTimeout, "", MaybeExecuted},
		{"one choice of two in error, the other cut", two + chunkOf(1, `"error"`) + chunkOf(0, "null"), "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"one choice of two in error, the other ended", two + chunkOf(0, `"stop"`) + chunkOf(1, `"error"`) + done, two + chunkOf(0, `"stop"`), errcodes.ClassServerError, "", MaybeExecuted},
		{"both choices in error", two + chunkOf(0, `"error"`) + chunkOf(1, `"error"`) + done, two + chunkOf(0, `"error"`), errcodes.ClassServerError, "", MaybeExecuted},
		{"one choice of two in error in one chunk", two + "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"error\"},{\"index\":1,\"finish_reason\":\"stop\"}]}\n\n" + done, two, errcodes.ClassServerError, "", MaybeExecuted},
		{"one choice of two in error in a long event", two + "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"error\",\"delta\":{\"content\":\"" + strings.Repeat("x", 100<<10) + "\"}}]}\n\n" + chunkOf(1, `"stop"`),
			"=", errcodes.ClassServerError, "", MaybeExecuted},
		{"one choice of two in error, and an error", two + "data: {\"error\":{\"message\":\"Overloaded\"},\"choices\":[{\"index\":0,\"finish_reason\":\"error\"}]}\n\n", two, errcodes.ClassOverloaded, "Overloaded", MaybeExecuted},
		{"an error with a reason", chunk + "data: {\"error\":{\"message\":\"Overloaded\",\"code\":503},\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n", chunk, errcodes.ClassOverloaded, "Overloaded", MaybeExecuted},
		{"a choice that goes on behind another's end", chunk + reason + chunk, chunk + reason + chunk, errcodes.ClassNetwork, "", MaybeExecuted},
		{"an empty reason", chunk + emptyReason, chunk + emptyReason, errcodes.ClassNetwork, "", MaybeExecuted},
		{"a reason in the text", chunk + textReason, chunk + textReason, errcodes.ClassNetwork, "", MaybeExecuted},
		{"an error behind cr", cr(chunk + chatError), cr(chunk), errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"an error behind crlf", crlf(chunk + chatError), crlf(chunk), errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"a named error behind cr", cr(chunk + "event: error\ndata: {\"message\":\ndata: \"The engine is overloaded.\"}\n\n"), cr(chunk), errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"an error behind a byte order mark", "\xef\xbb\xbf" + chatError, "", errcodes.ClassOverloaded, "The engine is overloaded.", Rejected},
		{"a named error behind a byte order mark", "\xef\xbb\xbfevent: error\ndata: {\"message\":\"The engine is overloaded.\"}\n\n", "", errcodes.ClassOverloaded, "The engine is overloaded.", Rejected},
		{"an error body behind a byte order mark", "\xef\xbb\xbf {\n\"error\":{\"message\":\"The engine is overloaded.\"}}", "", errcodes.ClassOverloaded, "The engine is overloaded.", Rejected},
		{"a long error", chunk + "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"Slow.\"},\"instructions\":\"" + strings.Repeat("x", 100<<10) + "\"}}\n\n" + done,
			chunk, errcodes.ClassRateLimited, "Slow.", MaybeExecuted},
		{"message-end with an error", cohere + "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"error\":\"The engine is overloaded.\",\"finish_reason\":\"ERROR\"}}\n\n",
			cohere, errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"message-end with an error and no reason", cohere + "data: {\"delta\":{\"error\":\"upstream failed\"},\n" + "data: \"type\":\"message-end\"}\n\n",
			cohere, errcodes.ClassServerError, "upstream failed", MaybeExecuted},
		{"message-end with a reason alone", cohere + "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\"}}\n\n", cohere, errcodes.ClassServerError, "", MaybeExecuted},
		{"message-end for want of time", cohere + "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"TIMEOUT\"}}\n\n", cohere, errcodes.ClassTimeout, "", MaybeExecuted},
		{"stream-end with a reason", "event: stream-end\ndata: {\"event_type\":\"stream-end\",\"is_finished\":true,\"finish_reason\":\"ERROR\",\"response\":{\"text\":\"The engine is overloaded.\"}}\n\n",
			"", errcodes.ClassServerError, "", MaybeExecuted},
		{"done with an error", chunk + "event: done\ndata: {\"error\":{\"message\":\"The engine is overloaded.\"}}\n\n", chunk, errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"done for a reason", "event: output\ndata: hi\n\nevent: done\ndata: {\"reason\":\"error\"}\n\n", "event: output\ndata: hi\n\n", errcodes.ClassServerError, "", MaybeExecuted},
		{"response.completed that failed", hello + "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"Sorry.\"}}}\n\n",
			hello, errcodes.ClassServerError, "Sorry.", MaybeExecuted},
		{"an error behind the end", chunk + done + chatError, chunk + done, errcodes.ClassOverloaded, "The engine is overloaded.", MaybeExecuted},
		{"a choice that ended in an error", chunk + "data: {\"choices\":[{\"delta\":{\"content\":\"overloaded\"},\"finish_reason\":\"error\"}]}\n\n" + done, chunk, errcodes.ClassServerError, "", MaybeExecuted},
		{"a choice that ended in an error in a long event", chunk + strings.Replace(image, "candidates", "choices", 1) + ",\"finish_reason\":\"error\"}]}\n\n" + done,
			chunk + strings.Replace(image, "candidates", "choices", 1) + ",\"finish_reason\":\"error\"}]}\n\n", errcodes.ClassServerError, "", MaybeExecuted},
		{"a choice that ended in an error at the end", strings.Replace(image, "candidates", "choices", 1) + ",\"finish_reason\":\"error\"}]}", "=", errcodes.ClassServerError, "", MaybeExecuted},
		{"only one byte order mark is none", "\xef\xbb\xbf\xef\xbb\xbf" + done + chunk, "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half a byte order mark", "\xef\xbb" + done + chunk, "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a mark within the stream", chunk + "\xef\xbb\xbf" + done, "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"cr, no end", cr(chunk), "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"legacy completions, one of two", "data: {\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"length\"}]}\n\n" +
			"data: {\"object\":\"text_completion\",\"choices\":[{\"index\":1,\"text\":\"half of\",\"finish_reason\":null}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"chat, one of two", chunkOf(0, "null") + chunkOf(1, "null") + chunkOf(0, `"stop"`), "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a tool called behind the end", chunk + reason + "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\"}}]}}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini behind the end", "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\ndata: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}],\"role\":\"model\"}}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"chat, one of two has but begun", chunkOf(0, `"stop"`) + "data: {\"choices\":[{\"index\":1,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"chat, one of many", chunkOf(0, "null") + chunkOf(127, "null") + chunkOf(0, `"stop"`), "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"chat, one of two in one chunk", chunk + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":null},{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
			"=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini, one of two", "data: {\"candidates\":[{\"index\":0,\"finishReason\":\"STOP\"}]}\n\ndata: {\"candidates\":[{\"index\":1,\"content\":{}}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini, one of two in one chunk", "data: {\"candidates\":[{\"finishReason\":\"STOP\"},{\"index\":1,\"content\":{}}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini, no reason yet", "data: {\"candidates\":[{\"finishReason\":\"FINISH_REASON_UNSPECIFIED\"}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini, an image alone", image + "}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini, an image with the reason in its text", strings.Replace(image, "AAA", `\"finishReason\":\"STOP\"`, 1) + "}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini, half an image", image[:90<<10], "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini, a reason before half an image", strings.Replace(image, "{\"content", "{\"finishReason\":\"STOP\",\"content", 1)[:90<<10], "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of the last chunk", chunk + "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"the last chunk torn behind its choice", chunk + "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\"usage\":{\"to", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"the last chunk of reason alone torn behind its choice", strings.TrimSuffix(chunk+reason, "]}\n\n"), "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini, the last chunk torn behind its candidate", image + "}]}\n\n" + "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"42\"}]},\"finishReason\":\"STOP\"}],\"usageMeta", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"gemini, the only chunk torn behind its candidate", "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMeta", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a chunk torn that adds to a choice behind its end", chunkOf(0, `"stop"`) + "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}],\"us", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"two choices, the second torn in a long event", chunkOf(0, "null") + chunkOf(1, "null") + chunkOf(0, `"stop"`) +
			"data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"" + strings.Repeat("x", 100<<10) + "\"},\"finish_reason\":\"stop\"}],\"us", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of another choice", chunkOf(0, `"stop"`) + "data: {\"choices\":[{\"index\":1,\"del", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of the terminal event", hello + "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"out", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a name of the terminal event alone", hello + "event: response.completed\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"the type of a part", hello + "data: {\"item\":{\"type\":\"response.completed\"},\"type\":\"response.output_item.done\"}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half a transcript", "event: transcript.text.delta\ndata: {}\n\n", "event: transcript.text.delta\ndata: {}\n\n", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a part of a response", "event: response.output_text.done\ndata: {}\n\n", "event: response.output_text.done\ndata: {}\n\n", errcodes.ClassNetwork, "", MaybeExecuted},
		{"chat behind a hello", "data: hello\n\n" + chunk, "data: hello\n\n" + chunk, errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of the first event", "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"cho", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of the first event's name", "event: message_sta", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of the first event of a form of its own", "data: {\"jsonrpc\":\"2.0\",", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of a long first event", long[:90<<10], "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of a body that is no event", "{\"mess", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a first event that lacks the empty line", "data: tick\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a ping alone", "event: ping\ndata: {\"type\":\"ping\"}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a ping alone, its name in the data", "data: {\"type\":\"ping\"}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"a ping and half of the first event", "event: ping\ndata: {}\n\ndata: tic", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"output without its end", "event: output\ndata: hi\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"output that says it is done", "event: output\ndata: [DONE]\n\nevent: output\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of a text-generation", "event: stream-start\ndata: {}\n\nevent: text-generation\ndata: {\"text\":\"a\"}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of a text-generation, names in the data alone", "data: {\"event_type\":\"stream-start\"}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"output with choices, no end", dashScope("null") + dashScope("null"), "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"output with text, no end", "data: {\"output\":{\"text\":\"a\",\"finish_reason\":\"null\"}}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"choices in data, no end", "data: {\"data\":{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}}\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"choices in a list, no end", "data: [{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}]\n\n", "=", errcodes.ClassNetwork, "", MaybeExecuted},
		{"half of [DONE]", chunk + "data: [DONE", "=", errcodes.ClassNetwork, "", MaybeExecuted},
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
			for name, arrive := range arrivals {
				resp := eventStream(t, arrive.wrap(strings.NewReader(tt.in)))
				got, err := readBy(resp.Body, arrive.size)
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

// dashScope is an event of DashScope's own form.
func dashScope(reason string) string {
	return fmt.Sprintf("id:1\nevent:result\n:HTTP_STATUS/200\ndata:{\"output\":{\"choices\":[{\"message\":{\"content\":\"a\"},\"finish_reason\":\"%s\"}]},\"usage\":{}}\n\n", reason)
}

// essay is what a model wrote before its response failed.
const essay = `"output":[{"type":"message","content":[{"type":"output_text","text":"An essay about insufficient_quota: you exceeded your current quota."}]}]`

// failedAs is an event that says that a response failed; rest is the end of the response.
func failedAs(rest string) string {
	return "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\"," + rest + "}\n\n"
}

// arrivals are the ways in which the bytes of a stream come, and how many are asked for at a time: what is made of it is the same.
var arrivals = map[string]struct {
	wrap func(io.Reader) io.Reader
	size int
}{
	"at once":                   {func(r io.Reader) io.Reader { return r }, 512},
	"at once, much asked for":   {func(r io.Reader) io.Reader { return r }, 1 << 20},
	"bytes":                     {iotest.OneByteReader, 512},
	"bytes, few asked for":      {iotest.OneByteReader, 3},
	"halves":                    {iotest.HalfReader, 4096},
	"with the end":              {iotest.DataErrReader, 1 << 20},
	"cuts":                      {cutUp(1, 1<<15), 512},
	"small cuts":                {cutUp(2, 40), 4096},
	"cuts, few asked for":       {cutUp(3, 1000), 7},
	"cuts, all of it asked for": {cutUp(4, 1<<17), 1 << 20},
}

// cutUp returns what makes a reader bring up to most bytes at a time, as chance has it.
func cutUp(seed uint64, most int) func(io.Reader) io.Reader {
	return func(r io.Reader) io.Reader { return &pieces{r: r, chance: rand.New(rand.NewPCG(seed, 0)), most: most} }
}

type pieces struct {
	r      io.Reader
	chance *rand.Rand
	most   int
}

func (c *pieces) Read(p []byte) (int, error) {
	return c.r.Read(p[:min(len(p), 1+c.chance.IntN(c.most))])
}

// readBy reads r to its end, up to size bytes at a time.
func readBy(r io.Reader, size int) ([]byte, error) {
	var out []byte
	for p := make([]byte, size); ; {
		n, err := r.Read(p)
		if out = append(out, p[:n]...); err != nil {
			if err == io.EOF {
				err = nil
			}
			return out, err
		}
	}
}

// chunkOf is a chunk of one choice; reason is JSON.
func chunkOf(index int, reason string) string {
	return fmt.Sprintf("data: {\"choices\":[{\"index\":%d,\"delta\":{\"content\":\"a\"},\"finish_reason\":%s}]}\n\n", index, reason)
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

// Work that had begun may have been done, whatever its connection says of it in the end; and what a Transport further down said stays said.
func TestStreamErrorsOfTheConnectionKeepWhatIsKnown(t *testing.T) {
	for _, broke := range []error{h2StreamError{Code: h2RefusedStream}, &net.OpError{Op: "dial", Err: errBroken}, io.ErrUnexpectedEOF, errBroken} {
		_, err := io.ReadAll(eventStream(t, io.MultiReader(strings.NewReader(chunk), iotest.ErrReader(broke))).Body)
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok)
		require.Equal(t, MaybeExecuted, e.Decision.Safety, "%v", broke)
		require.ErrorIs(t, err, broke)
	}
	below := &Error{Decision: Decision{Class: errcodes.ClassOverloaded}, Stop: StopBegun}
	_, err := io.ReadAll(eventStream(t, io.MultiReader(strings.NewReader(chunk), iotest.ErrReader(below))).Body)
	require.Same(t, below, err)
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

// An event is handed out when its empty line is there, whatever comes next: with carriage returns no line feed is waited for.
func TestStreamErrorsWaitsForNothing(t *testing.T) {
	for name, ends := range map[string][]string{
		"lf": {chunk}, "cr": {strings.ReplaceAll(chunk, "\n", "\r")}, "crlf": {strings.ReplaceAll(chunk, "\n", "\r\n")},
		"crlf in two":                 {strings.TrimSuffix(strings.ReplaceAll(chunk, "\n", "\r\n"), "\n"), "\n"},
		"crlf in two, a long event":   {"data: " + strings.Repeat("x", 100<<10) + "\r\n\r", "\n", "data: x\r\n\r", "\n"},
		"a byte order mark":           {"\xef\xbb\xbf" + chunk},
		"empty lines":                 {"\n", "\r\n", "\r", "\r", "\n"},
		"the beginning of a long one": {chunk, "data: " + strings.Repeat("x", 64<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, w := io.Pipe()
				resp := eventStream(t, r)
				var got strings.Builder
				go func() { _, _ = io.Copy(&got, struct{ io.Reader }{resp.Body}) }()
				sent := ""
				for _, part := range ends {
					_, err := io.WriteString(w, part)
					require.NoError(t, err)
					synctest.Wait()
					sent += part
					require.Equal(t, sent, got.String())
				}
				require.NoError(t, w.Close())
			})
		})
	}
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
	f.Add([]byte("\xef\xbb\xbfdata: {\"candidates\":[{\"index\":1,\"finishReason\":\"STOP\",\"x\":[\"\\\"\"]}]}\r\rdata: [DONE]\r\n\r\n"), 9)
	f.Add([]byte("event: message-end\ndata: {\"delta\":{\"error\":\"x\",\"finish_reason\":\"ERROR\"},\ndata: \"type\":\"message-end\"}\n\n"), 2)
	f.Add([]byte(chunkOf(0, "null")+chunkOf(1, `"error"`)+chunkOf(0, `"stop"`)+done), 11)
	f.Add([]byte("event: output\ndata: {\"error\":\"x\"}\n\n [{\"error\":{}}]\r\r"), 2)
	f.Add([]byte("data: [{\"choices\":[{\"finish_reason\":\"stop\"}],\"x_groq\":{\"error\":\"x\"}}]\n\nerror : \nerror:  {\"code\":500}\n\n"), 5)
	f.Add([]byte("event: response.failed\ndata: {\"response\":{\"error\":{\"code\":\"x\",\"message\":\""+strings.Repeat("\\\"", 40<<10)), 900)
	f.Add([]byte("data: {\"output\":{\"text\":\"a\",\"finish_reason\":\"null\"}}\n\nevent: ping\n\ndata: {\"data\":{\"candidates\":[{}"), 4)
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
		require.Equal(t, string(whole), string(parts))
		require.Equal(t, err1.Error(), err2.Error())
		if err1 == io.EOF {
			require.Equal(t, string(in), string(whole))
		}
	})
}
