package codedoc

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDriftString(t *testing.T) {
	for _, tt := range []struct {
		drift Drift
		want  string
	}{
		{Drift{Kind: KindAdded, Line: 9, Code: "teapot", Status: 418, Page: "teapot"},
			`line 9: code "teapot" (status 418) is on the page and not in the registry`},
		{Drift{Kind: KindAdded, Line: 9, Code: "teapot", Page: "teapot"}, `line 9: code "teapot" is on the page and not in the registry`},
		{Drift{Kind: KindAdded, Line: 9, Status: 418, Page: "418"}, `line 9: status 418 is on the page and not in the registry`},
		{Drift{Kind: KindRemoved, Type: "api_error", Status: 500, Registry: "api_error"},
			`type "api_error" (status 500) is in the registry and not on the page`},
		{Drift{Kind: KindRemoved, Status: 500, Registry: "500"}, `status 500 is in the registry and not on the page`},
		{Drift{Kind: KindStatus, Line: 3, Code: "x", Status: 404, Page: "404", Registry: "400"},
			`line 3: code "x" has status 404 on the page and 400 in the registry`},
		{Drift{Kind: KindType, Line: 3, Code: "x", Page: "y"}, `line 3: code "x" has type y on the page and none in the registry`},
		{Drift{Kind: KindRetry, Line: 3, Status: 504, Page: "backoff", Registry: "changed"},
			`line 3: status 504 has retry rule "backoff" on the page and "changed" in the registry`},
		{Drift{Kind: KindRetry, Line: 3, Status: 504, Registry: "changed"},
			`line 3: status 504 has no retry rule on the page and "changed" in the registry`},
		{Drift{}, `status 0 differs: "" on the page and "" in the registry`},
	} {
		require.Equal(t, tt.want, tt.drift.String())
	}
}
