// main.go: the five routes on net/http, with pgx's pool.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	contacts, err := openContacts(ctx)
	if err != nil {
		log.Fatal(err)
	}
	avatars, err := readAvatars(os.Getenv("AVATAR"))
	if err != nil {
		log.Fatal(err)
	}
	relay := newRelay("http://" + os.Getenv("UPSTREAM") + "/v1/avatar")

	mux := http.NewServeMux()
	mux.HandleFunc("GET /contacts/{id}", contacts.get)
	mux.HandleFunc("GET /contacts", contacts.list)
	mux.HandleFunc("PUT /contacts/{id}", contacts.put)
	mux.HandleFunc("GET /v1/avatar", avatars.get)
	mux.HandleFunc("GET /v1/user", relay.get)

	server := &http.Server{Addr: net.JoinHostPort("127.0.0.1", os.Getenv("PORT")), Handler: mux}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
}

var jsonType = []string{"application/json"}

// answer sends a body that is complete.
func answer(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = jsonType
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body)
}
