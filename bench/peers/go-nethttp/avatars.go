// avatars.go: the avatars, the first of them made at the time of the request.
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"time"
)

type avatar struct {
	CreatedAt string `json:"createdAt"`
	Name      string `json:"name"`
	Avatar    string `json:"avatar"`
	ID        string `json:"id"`
}

// avatars is the document, cut where the time goes.
type avatars struct {
	before, after string
}

func readAvatars(file string) (*avatars, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []avatar
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, err
	}
	const mark = "{now}"
	list[0].CreatedAt = mark
	document, err := json.Marshal(list)
	before, after, _ := strings.Cut(string(document), mark)
	return &avatars{before, after}, err
}

func (a *avatars) get(w http.ResponseWriter, _ *http.Request) {
	body := make([]byte, 0, len(a.before)+len(a.after)+32)
	body = append(body, a.before...)
	body = time.Now().UTC().AppendFormat(body, "2006-01-02T15:04:05.000Z")
	body = append(body, a.after...)
	answer(w, http.StatusOK, body)
}
