package api

import (
	"encoding/json"
	"net/http"
)

// writePages prepares what documents serves.
func (s *server) writePages() error {
	if err := s.exemplify(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s.api.OpenAPI(), "", " ")
	s.openapi = text
	return err
}

// document answers with the OpenAPI document.
func (s *server) document(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
	_, _ = w.Write(s.openapi)
}

// documents answers who reads.
func (s *server) documents(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/openapi.json" {
		s.document(w)
		return
	}
	s.nothingHere(w, r)
}
