// main.go: a contact, the avatars and the relay on fasthttp.
package main

import (
	"bytes"
	"context"
	"errors"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/goccy/go-json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/valyala/fasthttp"
)

// pgx prepares it when a connection first runs it, and keeps it.
const selectOne = "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = $1"

type contact struct {
	ID        int32   `json:"id"`
	FirstName *string `json:"firstname"`
	LastName  string  `json:"lastname"`
	Phone     *string `json:"phone"`
	Email     *string `json:"email"`
}

type avatar struct {
	CreatedAt string `json:"createdAt"`
	Name      string `json:"name"`
	Avatar    string `json:"avatar"`
	ID        string `json:"id"`
}

type service struct {
	pool          *pgxpool.Pool
	before, after []byte // the avatars, cut where the time of the request goes
	upstream      *fasthttp.HostClient
	source        *fasthttp.URI
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	pool, err := openPool(ctx)
	if err != nil {
		log.Fatal(err)
	}
	before, after, err := readAvatars(os.Getenv("AVATAR"))
	if err != nil {
		log.Fatal(err)
	}
	upstream := &fasthttp.HostClient{Addr: os.Getenv("UPSTREAM"), MaxConns: 1024}
	source := &fasthttp.URI{}
	if err := source.Parse([]byte(upstream.Addr), []byte("/v1/avatar")); err != nil {
		log.Fatal(err)
	}
	s := &service{pool, before, after, upstream, source}

	server := &fasthttp.Server{Handler: s.handle, Name: "fasthttp"}
	go func() {
		<-ctx.Done()
		os.Exit(0)
	}()
	log.Fatal(server.ListenAndServe(net.JoinHostPort("127.0.0.1", os.Getenv("PORT"))))
}

func openPool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	size, err := strconv.ParseInt(os.Getenv("POOL"), 10, 32)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(size)
	config.MinConns = int32(size)
	return pgxpool.NewWithConfig(ctx, config)
}

func readAvatars(file string) (before, after []byte, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	var list []avatar
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, nil, err
	}
	const mark = "{now}"
	list[0].CreatedAt = mark
	document, err := json.Marshal(list)
	before, after, _ = bytes.Cut(document, []byte(mark))
	return before, after, err
}

func (s *service) handle(ctx *fasthttp.RequestCtx) {
	path := ctx.Path()
	id, isContact := bytes.CutPrefix(path, []byte("/contacts/"))
	switch {
	case !ctx.IsGet():
		fail(ctx, fasthttp.StatusMethodNotAllowed, "only GET")
	case isContact:
		s.contact(ctx, id)
	case string(path) == "/v1/avatar":
		s.avatars(ctx)
	case string(path) == "/v1/user":
		s.relay(ctx)
	default:
		fail(ctx, fasthttp.StatusNotFound, "no such path")
	}
}

func (s *service) contact(ctx *fasthttp.RequestCtx, text []byte) {
	id, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil {
		fail(ctx, fasthttp.StatusNotFound, "no such contact")
		return
	}
	var found contact
	row := s.pool.QueryRow(context.Background(), selectOne, int32(id))
	err = row.Scan(&found.ID, &found.FirstName, &found.LastName, &found.Phone, &found.Email)
	if errors.Is(err, pgx.ErrNoRows) {
		fail(ctx, fasthttp.StatusNotFound, "no such contact")
		return
	}
	if err != nil {
		fail(ctx, fasthttp.StatusInternalServerError, "internal")
		return
	}
	body, err := json.MarshalWithOption(&found, json.DisableHTMLEscape())
	if err != nil {
		fail(ctx, fasthttp.StatusInternalServerError, "internal")
		return
	}
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyRaw(body)
}

func (s *service) avatars(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("application/json")
	ctx.Write(s.before)
	var now [32]byte
	ctx.Write(time.Now().UTC().AppendFormat(now[:0], "2006-01-02T15:04:05.000Z"))
	ctx.Write(s.after)
}

func (s *service) relay(ctx *fasthttp.RequestCtx) {
	request := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(request)
	request.SetURI(s.source)
	if err := s.upstream.Do(request, &ctx.Response); err != nil {
		ctx.Response.Reset()
		fail(ctx, fasthttp.StatusBadGateway, "no answer from the upstream")
		return
	}
	header := &ctx.Response.Header
	header.SetContentType("application/json")
	header.SetServer("fasthttp")
	header.Set("Engine", "fasthttp")
	header.Set("Location", "/v1/user")
}

func fail(ctx *fasthttp.RequestCtx, status int, message string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBodyString(`{"error":"` + message + `"}`)
}
