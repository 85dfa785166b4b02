module github.com/errwire/errwire/examples/chi

go 1.26.0

replace (
	github.com/errwire/errwire => ../..
	github.com/errwire/errwire/examples/nethttp => ../nethttp
)

require (
	github.com/errwire/errwire v0.0.0-00010101000000-000000000000
	github.com/errwire/errwire/examples/nethttp v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
)

require (
	github.com/go-chi/chi/v5 v5.5.0
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
