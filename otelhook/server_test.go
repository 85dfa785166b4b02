package otelhook

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRouteOf(t *testing.T) {
	for pattern, want := range map[string]string{
		"": "", "GET": "", "/": "/", "/v1/runs/{id}": "/v1/runs/{id}", "GET /v1/runs/{id}": "/v1/runs/{id}", "GET api.test/v1/{rest...}": "/v1/{rest...}",
	} {
		require.Equal(t, want, routeOf(pattern), pattern)
	}
}
