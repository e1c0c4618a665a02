// relay.go: another service's answer, passed on.
package main

import (
	"io"
	"net/http"
	"strconv"
)

type relay struct {
	client http.Client
	url    string
}

func newRelay(url string) *relay {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 0
	transport.MaxIdleConnsPerHost = 1024
	transport.DisableCompression = true
	return &relay{http.Client{Transport: transport}, url}
}

func (u *relay) get(w http.ResponseWriter, r *http.Request) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, u.url, nil)
	if err != nil {
		answer(w, http.StatusInternalServerError, []byte(`{"error":"internal"}`))
		return
	}
	response, err := u.client.Do(request)
	if err != nil {
		answer(w, http.StatusBadGateway, []byte(`{"error":"no answer from the upstream"}`))
		return
	}
	defer response.Body.Close()
	header := w.Header()
	header["Content-Type"] = jsonType
	header.Set("Engine", "net/http")
	header.Set("Location", "/v1/user")
	if response.ContentLength >= 0 {
		header.Set("Content-Length", strconv.FormatInt(response.ContentLength, 10))
	}
	w.WriteHeader(response.StatusCode)
	io.Copy(w, response.Body)
}
