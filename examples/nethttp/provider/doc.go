// Package provider is a small inference API that fails on purpose: every key and every model of its tables
// puts a request into one of the states that real providers document. It answers as RunInfra, Runbase,
// OpenAI, Anthropic, Google or a plain RFC 9457 API would, whichever registry it is given, because handlers name
// conditions and the registry spells them.
//
// The handlers are plain net/http and read path values through Request.PathValue, so any router that
// sets those can serve them. All state is in memory and bounded.
package provider
