package errcodes_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/errwire/errwire/errcodes"
)

var update = flag.Bool("update", false, "rewrite the recorded bodies in testdata")

// recorded is one line of testdata/bodies: a row and what stands on the wire for it.
type recorded struct {
	Condition errcodes.Code   `json:"condition"`
	Status    int             `json:"status"`
	Body      json.RawMessage `json:"body"`
}

// What leaves a server for each row is written down, so that no change of a spelling goes unseen.
func TestRecordedBodies(t *testing.T) {
	for _, r := range registries() {
		t.Run(r.Name(), func(t *testing.T) {
			var got strings.Builder
			for e := range r.All() {
				line, err := json.Marshal(recorded{
					Condition: e.Code, Status: e.Status,
					Body: r.Dialect().Append(nil, e.Body(nil, "req_018f6f2a7b3c7d4e8f90a1b2c3d4e5f6")),
				})
				require.NoError(t, err)
				got.Write(line)
				got.WriteByte('\n')
			}
			file := filepath.Join("testdata", "bodies", r.Name()+".jsonl")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), got.String(), "run go test ./errcodes -update if this is what you meant")
		})
	}
}
