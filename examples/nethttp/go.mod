module github.com/errwire/errwire/examples/nethttp

go 1.26.0

replace github.com/errwire/errwire => ../..

require (
	github.com/errwire/errwire v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
