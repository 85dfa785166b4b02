package otelhook

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOperationsAreBounded(t *testing.T) {
	byPath := func(r *http.Request) string { return r.URL.Path }
	o := newOperations("chat", byPath, 4)
	find := func(name string) *operation { return o.find(&http.Request{URL: &url.URL{Path: name}}) }
	require.Same(t, o.fixed, find(""))
	require.Same(t, o.fixed, find("chat"))
	require.Equal(t, "chat", o.fixed.spanName)
	first := find("op 0")
	require.Equal(t, "op 0", first.name)
	for i := range 1000 {
		find(fmt.Sprint("op ", i))
	}
	require.Same(t, first, find("op 0"))
	require.Same(t, find("op 500"), find("op 501"))
	require.Equal(t, otherOperation, find("op 500").name)
	require.Len(t, o.named, maxOperations+1)
}

func TestOperationsConcurrently(t *testing.T) {
	o := newOperations("", func(r *http.Request) string { return r.URL.Path }, 4)
	require.Equal(t, unnamed, o.fixed.spanName)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				name := fmt.Sprint("op ", (i*(g+1))%100)
				if got := o.find(&http.Request{URL: &url.URL{Path: name}}).name; got != name && got != otherOperation {
					t.Errorf("%q for %q", got, name)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, o.named, maxOperations+1)
}
