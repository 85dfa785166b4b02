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
	github.com/gabriel-vasile/mimetype v1.4.16 // indirect
	github.com/go-playground/locales v0.14.2 // indirect
	github.com/go-playground/universal-translator v0.18.2 // indirect
	github.com/go-playground/validator/v10 v10.30.6 // indirect
	github.com/leodido/go-urn v1.5.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

require (
	github.com/go-chi/chi/v5 v5.5.0
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
