// Package jsapi is one connection to one site, speaking the raw JetStream API.
//
// It owns the connection, the subjects of the API, deadlines, and the words for what went wrong. It must not decide
// anything, and it never decodes a stream's config: configs stay raw JSON, since a typed one drops the fields that a
// newer server knows. The probe uses the reads (Info, Names, API); only failover, and consumers on its behalf, may call the
// writes, which all live in write.go and consumer_write.go.
//
// Start reading at Conn in conn.go; request.go is the one way a question travels.
package jsapi
