// Package otelhooktest tests package otelhook with the OpenTelemetry SDK and beside otelhttp. It is a module of its own, so that neither
// becomes a requirement of errwire's module, which every program that uses errwire would have to resolve.
package otelhooktest
