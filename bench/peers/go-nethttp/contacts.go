// contacts.go: contacts, from PostgreSQL.
package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/goccy/go-json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgx prepares each statement when a connection first runs it, and keeps it.
const (
	selectOne = "SELECT id, firstname, lastname, phone, email FROM contact WHERE id = $1"
	selectAll = "SELECT id, firstname, lastname, phone, email FROM contact ORDER BY id"
	updateOne = "UPDATE contact SET phone = $2 WHERE id = $1 RETURNING id, firstname, lastname, phone, email"
)

type contact struct {
	ID        int32   `json:"id"`
	FirstName *string `json:"firstname"`
	LastName  string  `json:"lastname"`
	Phone     *string `json:"phone"`
	Email     *string `json:"email"`
}

type contacts struct {
	pool *pgxpool.Pool
}

func openContacts(ctx context.Context) (*contacts, error) {
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
	pool, err := pgxpool.NewWithConfig(ctx, config)
	return &contacts{pool}, err
}

func (c *contacts) get(w http.ResponseWriter, r *http.Request) {
	c.one(w, r, selectOne)
}

func (c *contacts) put(w http.ResponseWriter, r *http.Request) {
	var change struct {
		Phone *string `json:"phone"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(body, &change)
	}
	if err != nil {
		answer(w, http.StatusBadRequest, []byte(`{"error":"bad request"}`))
		return
	}
	c.one(w, r, updateOne, change.Phone)
}

// one answers with the row of a statement whose first parameter is the id in the path.
func (c *contacts) one(w http.ResponseWriter, r *http.Request, sql string, more ...any) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil {
		answer(w, http.StatusNotFound, []byte(`{"error":"no such contact"}`))
		return
	}
	var found contact
	row := c.pool.QueryRow(r.Context(), sql, append([]any{int32(id)}, more...)...)
	err = row.Scan(&found.ID, &found.FirstName, &found.LastName, &found.Phone, &found.Email)
	if errors.Is(err, pgx.ErrNoRows) {
		answer(w, http.StatusNotFound, []byte(`{"error":"no such contact"}`))
		return
	}
	send(w, &found, err)
}

func (c *contacts) list(w http.ResponseWriter, r *http.Request) {
	rows, err := c.pool.Query(r.Context(), selectAll)
	if err != nil {
		send(w, nil, err)
		return
	}
	all := make([]contact, 0, 10000)
	var row contact
	columns := []any{&row.ID, &row.FirstName, &row.LastName, &row.Phone, &row.Email}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		all = append(all, row)
		return nil
	})
	send(w, all, err)
}

func send(w http.ResponseWriter, value any, err error) {
	var body []byte
	if err == nil {
		body, err = json.MarshalWithOption(value, json.DisableHTMLEscape())
	}
	if err != nil {
		answer(w, http.StatusInternalServerError, []byte(`{"error":"internal"}`))
		return
	}
	answer(w, http.StatusOK, body)
}
