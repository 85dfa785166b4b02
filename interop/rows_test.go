package interop

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/classify"
	"github.com/errwire/errwire/errcodes"
	"github.com/errwire/errwire/middleware"
)

// Every row of every registry, written by our own server and read off the wire by our own client, comes back as that row: for a method
// that may be repeated and for one that may not.
func TestRowsComeBack(t *testing.T) {
	t.Parallel()
	for _, registry := range []*errcodes.Registry{
		errcodes.Runbase(), errcodes.RunInfra(), errcodes.OpenAI(), errcodes.Anthropic(), errcodes.Google(), errcodes.Problem(),
	} {
		t.Run(registry.Name(), func(t *testing.T) {
			t.Parallel()
			writer := &middleware.ErrorWriter{Registry: registry, Logger: slog.New(slog.DiscardHandler)}
			srv := httptest.NewServer(writer.Wrap(writer.Handler(func(_ http.ResponseWriter, r *http.Request) error {
				return &errcodes.Error{Code: errcodes.Code(strings.TrimPrefix(r.URL.Path, "/"))}
			})))
			t.Cleanup(srv.Close)
			c := &classify.Classifier{Registries: []*errcodes.Registry{registry}}
			n := 0
			for row := range registry.All() {
				if row.Code == errcodes.ClientClosed {
					continue // is never written
				}
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					n++
					req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/"+string(row.Code), http.NoBody)
					require.NoError(t, err)
					resp, err := srv.Client().Do(req)
					require.NoError(t, err)
					d := c.Response(resp)
					name := method + " " + string(row.Code)
					requireRow(t, registry, row, d, name)
					require.Equal(t, row.Message, d.Message, name)
					require.Equal(t, resp.Header.Get("X-Request-Id"), d.RequestID, name)
					require.NotEmpty(t, d.RequestID, name)
					body, err := io.ReadAll(resp.Body)
					require.NoError(t, err)
					require.NotEmpty(t, body, "%s: the body is put back", name)
					require.NoError(t, resp.Body.Close())
				}
			}
			require.Greater(t, n, 40)
		})
	}
}

// requireRow holds a decision against the row of the registry. Rows that look alike on the wire agree in all that matters, so any of
// them will do.
func requireRow(t *testing.T, registry *errcodes.Registry, row errcodes.Entry, d classify.Decision, name string) {
	t.Helper()
	require.Equal(t, row.Status, d.Status, name)
	require.Equal(t, row.Class, d.Class, name)
	require.Equal(t, row.MaybeExecuted, d.Safety == classify.MaybeExecuted, name)
	if d.Rule == "x-should-retry: false" {
		require.Equal(t, errcodes.RetryNever, d.Retry, name) // the server's veto for this request
	} else {
		require.Equal(t, row.Retry, d.Retry, "%s by %q", name, d.Rule)
		require.Contains(t, d.Rule, "registry "+registry.Name(), name)
	}
	found, ok := registry.Lookup(d.Condition)
	require.True(t, ok, "%s: condition %q", name, d.Condition)
	if found.Code != row.Code {
		require.Equal(t, [3]any{row.Status, row.Type, row.WireCode()}, [3]any{found.Status, found.Type, found.WireCode()}, "%s: taken for %s", name, found.Code)
	}
}
