package errcodes

import "sync"

// builtin returns a function that builds the registry on its first call. The rows are
// ours and a test holds each registry against New, so an error cannot happen; were it to, the registry
// would be empty and still answer.
func builtin(name string, d Dialect, rows ...Entry) func() *Registry {
	return sync.OnceValue(func() *Registry {
		r, err := New(name, d, rows...)
		if err != nil {
			return &Registry{name: name, dialect: d}
		}
		return r
	})
}
