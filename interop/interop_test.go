package interop

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

// client is one of the eight. Its send makes all calls in order and returns an outcome for each.
type client struct {
	name string
	home string // chatPath or messagesPath
	send func(t *testing.T, calls []call) []outcome

	// What the client can surface of an error beside the status and the message, and where it finds the request id.
	typ, param bool
	codeAt     string // where it looks for the code; "" for never
	idHeader   string // of errors; "" for never
	okID       bool   // whether it surfaces the request id of a success too
	shell      bool   // whether it reads successes of every path, as text, but no streams
}

func clients() []client {
	return []client{
		{name: "openai-go", home: chatPath, send: sendGo(openAIGo), typ: true, codeAt: topCode, param: true, idHeader: "X-Request-Id", okID: true},
		{name: "go-openai", home: chatPath, send: sendGo(goOpenAI), typ: true, codeAt: topCode, param: true, okID: true},
		{name: "anthropic-go", home: messagesPath, send: sendGo(anthropicGo), typ: true, idHeader: "Request-Id", okID: true},
		{name: "openai-node", home: chatPath, send: sendNode("openai.mjs"), typ: true, codeAt: topCode, param: true, idHeader: "X-Request-Id", okID: true},
		{name: "ai-sdk", home: chatPath, send: sendNode("ai-sdk.mjs"), typ: true, codeAt: topCode, param: true, idHeader: "X-Request-Id", okID: true},
		{name: "langchain", home: chatPath, send: sendNode("langchain.mjs"), typ: true, codeAt: topCode, param: true, idHeader: "X-Request-Id"},
		{name: "anthropic-node", home: messagesPath, send: sendNode("anthropic.mjs"), typ: true, codeAt: detailCode, idHeader: "Request-Id", okID: true},
		{name: "curl-jq", home: chatPath, send: sendShell("bash"), typ: true, codeAt: topCode, param: true, idHeader: "X-Request-Id", okID: true, shell: true},
		{name: "curl-jq on messages", home: messagesPath, send: sendShell("sh"), typ: true, codeAt: topCode, param: true, idHeader: "X-Request-Id", okID: true, shell: true},
	}
}

// Where a dialect puts its code, and where a client looks for it.
const (
	topCode    = "error.code"
	detailCode = "error.details.error_code"
)

// codeAt returns where the dialect puts its code, "" for nowhere.
func codeAt(registry *errcodes.Registry) string {
	switch {
	case registry.Dialect().Slots()&errcodes.SlotCode == 0:
		return ""
	case registry.Name() == errcodes.Anthropic().Name():
		return detailCode
	}
	return topCode
}

// outcome is what a client made of one call.
type outcome struct {
	Name      string     `json:"name"`
	Error     *surfaced  `json:"error"`     // what it surfaced of an error; nil for a success
	Text      string     `json:"text"`      // of a success: the text of the answer, of all events together
	RequestID string     `json:"requestId"` // of a success, where the client surfaces it
	Failure   string     `json:"failure"`   // anything that is neither a success nor an error of the API
	Wire      []exchange `json:"wire"`      // what went over the wire
}

// surfaced holds the fields of an error as the client's user reads them; what is absent is empty.
type surfaced struct {
	Status    int    `json:"status"`
	Message   string `json:"message"`
	Type      string `json:"type"`
	Code      string `json:"code"`
	Param     string `json:"param"`
	RequestID string `json:"requestId"`
}

// exchange is one response as it reached the client's transport.
type exchange struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header"` // names in lower case
	Body   string            `json:"body"`   // of errors only
}

func (e exchange) get(name string) string { return e.Header[strings.ToLower(name)] }

// TestClients is the table of cases, for each dialect and client: the client surfaces what the row of the registry says.
func TestClients(t *testing.T) {
	t.Parallel()
	program := buildExample(t)
	for _, dialect := range []struct {
		registry *errcodes.Registry
		shell    bool // whether scripts are driven too: those of the page that this project began with
	}{
		{errcodes.Runbase(), true},
		{errcodes.RunInfra(), true},
		{errcodes.OpenAI(), false},
		{errcodes.Anthropic(), false},
	} {
		t.Run(dialect.registry.Name(), func(t *testing.T) {
			t.Parallel() // each dialect has a server of its own; its clients share the counters of that server and take turns
			base := startExample(t, program, dialect.registry.Name())
			for _, c := range clients() {
				if c.shell && !dialect.shell {
					continue
				}
				t.Run(c.name, func(t *testing.T) { testClient(t, c, dialect.registry, base) })
			}
		})
	}
}

func testClient(t *testing.T, c client, registry *errcodes.Registry, base string) {
	t.Helper()
	table := cases()
	calls := make([]call, 0, len(table))
	table = slices.DeleteFunc(table, func(a apiCase) bool {
		if _, documented := registry.Lookup(a.want); a.want != "" && !documented {
			return true // a condition that this provider does not have
		}
		sent := a.on(base, c.home)
		if a.want == "" && ((c.shell && a.stream) || (!c.shell && sent.Replace.Path != "")) {
			return true // a success that the client has no type for: a stream for jq, another endpoint's for an SDK
		}
		calls = append(calls, sent)
		return false
	})
	outcomes := c.send(t, calls)
	require.Len(t, outcomes, len(table))
	for i, a := range table {
		t.Run(a.name, func(t *testing.T) {
			require.Equal(t, a.name, outcomes[i].Name)
			check(t, c, registry, a.want, outcomes[i])
		})
	}
}

var requestID = regexp.MustCompile(`^req_[0-9a-f]{32}$`)

// check holds one outcome against the row of the registry.
func check(t *testing.T, c client, registry *errcodes.Registry, want errcodes.Code, got outcome) {
	t.Helper()
	require.Empty(t, got.Failure)
	require.Len(t, got.Wire, 1, "requests sent with retries off")
	wire := got.Wire[0]
	id := wire.get("X-Request-Id")
	require.Regexp(t, requestID, id)
	if c.idHeader == "Request-Id" {
		require.Equal(t, id, wire.get("Request-Id"), "the header that this client reads")
	}

	if want == "" {
		require.Nil(t, got.Error)
		require.Contains(t, []int{http.StatusOK, http.StatusCreated}, wire.Status)
		require.NotEmpty(t, got.Text)
		if c.okID {
			require.Equal(t, id, got.RequestID)
		}
		return
	}

	row, ok := registry.Lookup(want)
	require.True(t, ok)
	body := checkWire(t, registry, row, wire)
	if got.Error == nil {
		require.FailNow(t, "the client reports a success", "status %d, body %s", wire.Status, wire.Body)
	}
	expected := surfaced{Status: row.Status, Message: body.Message}
	if c.typ {
		expected.Type = row.Type
	}
	if c.codeAt == codeAt(registry) {
		expected.Code = row.WireCode()
	}
	if c.param {
		expected.Param = body.Param
	}
	if c.idHeader != "" {
		expected.RequestID = id
	}
	require.Equal(t, expected, *got.Error)
}

// errorBody holds the fields of a body that no registry fixes, read without any of the code under test.
type errorBody struct {
	Message, Param string
}

// checkWire checks what no client surfaces but some act upon, and returns the body's fields.
func checkWire(t *testing.T, registry *errcodes.Registry, row errcodes.Entry, wire exchange) errorBody {
	t.Helper()
	require.Equal(t, row.Status, wire.Status, "status; the body is %s", wire.Body)
	require.Equal(t, "application/json", wire.get("Content-Type"))
	require.NotContains(t, strings.TrimSuffix(wire.Body, "\n"), "\n", "a body of several lines")

	var top map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(wire.Body), &top), "body %q", wire.Body)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(top["error"], &fields), "body %q", wire.Body)
	details, _ := fields["details"].(map[string]any)
	text := func(in map[string]any, name string) string {
		value, present := in[name]
		if !present {
			return ""
		}
		s, ok := value.(string)
		require.True(t, ok, "%s is no string in %s", name, wire.Body)
		require.NotEmpty(t, s, "%s is empty, so it should be absent, in %s", name, wire.Body)
		return s
	}
	body := errorBody{Message: text(fields, "message"), Param: text(fields, "param")}
	require.NotEmpty(t, body.Message)
	require.Equal(t, row.Type, text(fields, "type"))
	codes := map[string]string{topCode: text(fields, "code"), detailCode: text(details, "error_code")}
	for at, code := range codes {
		if at == codeAt(registry) {
			require.Equal(t, row.WireCode(), code, at)
		} else {
			require.Empty(t, code, at)
		}
	}
	if raw, ok := top["request_id"]; ok {
		require.JSONEq(t, strconv.Quote(wire.get("X-Request-Id")), string(raw))
	}

	limited := row.Status == http.StatusTooManyRequests || row.Status == http.StatusServiceUnavailable
	switch after := wire.get("Retry-After"); {
	case limited && row.Retry == errcodes.RetryBackoff:
		seconds, err := strconv.Atoi(after)
		require.NoError(t, err, "Retry-After")
		require.GreaterOrEqual(t, seconds, 1, "Retry-After")
		require.LessOrEqual(t, seconds, 60, "Retry-After")
		require.NotEqual(t, "false", wire.get("X-Should-Retry"))
	case limited:
		require.Empty(t, after, "Retry-After")
		require.Equal(t, "false", wire.get("X-Should-Retry"))
	}
	if row.Status < http.StatusInternalServerError {
		require.NotEqual(t, "true", wire.get("X-Should-Retry"))
	}
	if row.Status == http.StatusMethodNotAllowed {
		require.NotEmpty(t, wire.get("Allow"))
	}
	return body
}
