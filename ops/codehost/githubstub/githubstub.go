package githubstub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// longest is GitHub's limit for a body, in characters.
const longest = 65536

// Entry is a comment or an issue.
type Entry struct {
	ID      int64    `json:"id"`
	Number  int64    `json:"number,omitempty"`
	Title   string   `json:"title,omitempty"`
	Body    string   `json:"body"`
	State   string   `json:"state,omitempty"`
	HTMLURL string   `json:"html_url"`
	User    User     `json:"user"`
	Labels  []Label  `json:"labels,omitempty"`
	PR      *pullRef `json:"pull_request,omitempty"`

	parent int64 // of a comment: its issue or pull request
}

// User is the author of an entry.
type User struct {
	Login string `json:"login"`
}

// Label is an issue's label.
type Label struct {
	Name string `json:"name"`
}

type pullRef struct{}

// Answer replaces an answer of the stub.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Stub is a server with one repository.
type Stub struct {
	server     *httptest.Server
	repository string
	token      string
	login      string

	mu       sync.Mutex
	comments []*Entry
	issues   []*Entry
	next     int64
	requests []string
	answer   func(r *http.Request) *Answer
}

// New starts a repository with these pull requests. Requests with the token act as login.
func New(repository, token, login string, pullRequests ...int64) *Stub {
	s := &Stub{repository: repository, token: token, login: login, next: 1000}
	for _, number := range pullRequests {
		s.issues = append(s.issues, &Entry{ID: number, Number: number, State: "open", PR: &pullRef{}, User: User{"someone"}})
	}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// Close stops the server.
func (s *Stub) Close() { s.server.Close() }

// URL returns the API's address.
func (s *Stub) URL() string { return s.server.URL }

// Intercept sets a function whose answers replace the stub's; nil is no answer.
func (s *Stub) Intercept(answer func(r *http.Request) *Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// Requests returns the methods and paths received, in order.
func (s *Stub) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Comments returns the comments of an issue or a pull request.
func (s *Stub) Comments(number int64) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Entry
	for _, c := range s.comments {
		if c.parent == number {
			found = append(found, *c)
		}
	}
	return found
}

// Issues returns the issues that are not pull requests.
func (s *Stub) Issues() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Entry
	for _, i := range s.issues {
		if i.PR == nil {
			found = append(found, *i)
		}
	}
	return found
}

// SetBody sets the text of an issue or a pull request.
func (s *Stub) SetBody(number int64, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.issue(fmt.Sprint(number)); e != nil {
		e.Body = body
	}
}

// AddComment adds a comment of a given author.
func (s *Stub) AddComment(number int64, login, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addComment(number, login, body)
}

func (s *Stub) addComment(number int64, login, body string) *Entry {
	s.next++
	c := &Entry{ID: s.next, Body: body, User: User{login}, parent: number,
		HTMLURL: fmt.Sprintf("https://github.example/%s/pull/%d#issuecomment-%d", s.repository, number, s.next)}
	s.comments = append(s.comments, c)
	return c
}

func (s *Stub) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	if s.answer != nil {
		if a := s.answer(r); a != nil {
			for name, value := range a.Header {
				w.Header().Set(name, value)
			}
			w.WriteHeader(a.Status)
			_, _ = w.Write([]byte(a.Body)) // the client has gone
			return
		}
	}
	if r.Header.Get("Authorization") != "Bearer "+s.token {
		refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	if r.URL.Path == "/user" {
		s.whoIsIt(w)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/repos/"+s.repository+"/issues")
	if !ok {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	var body map[string]any
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			refuse(w, http.StatusBadRequest, "Problems parsing JSON")
			return
		}
		if text, ok := body["body"].(string); ok && utf8.RuneCountInString(text) > longest {
			refuse(w, http.StatusUnprocessableEntity, "Validation Failed: body is too long (maximum is 65536 characters)")
			return
		}
	}
	switch parts := strings.Split(strings.Trim(rest, "/"), "/"); {
	case r.Method == http.MethodGet && rest == "":
		s.listIssues(w, r)
	case r.Method == http.MethodPost && rest == "":
		s.openIssue(w, body)
	case r.Method == http.MethodPatch && len(parts) == 2 && parts[0] == "comments":
		s.patch(w, find(s.comments, func(e *Entry) bool { return fmt.Sprint(e.ID) == parts[1] }), body)
	case r.Method == http.MethodPatch && len(parts) == 1:
		s.patch(w, s.issue(parts[0]), body)
	case len(parts) == 2 && parts[1] == "comments" && s.issue(parts[0]) != nil:
		number := s.issue(parts[0]).Number
		if r.Method == http.MethodPost {
			reply(w, http.StatusCreated, s.addComment(number, s.login, fmt.Sprint(body["body"])))
			return
		}
		var found []*Entry
		for _, c := range s.comments {
			if c.parent == number {
				found = append(found, c)
			}
		}
		s.page(w, r, found)
	default:
		refuse(w, http.StatusNotFound, "Not Found")
	}
}

// whoIsIt answers GET /user, which GitHub refuses to a token of a workflow or an app.
func (s *Stub) whoIsIt(w http.ResponseWriter) {
	if strings.HasSuffix(s.login, "[bot]") {
		refuse(w, http.StatusForbidden, "Resource not accessible by integration")
		return
	}
	reply(w, http.StatusOK, User{s.login})
}

func (s *Stub) issue(number string) *Entry {
	return find(s.issues, func(e *Entry) bool { return fmt.Sprint(e.Number) == number })
}

func find(entries []*Entry, is func(*Entry) bool) *Entry {
	if i := slices.IndexFunc(entries, is); i >= 0 {
		return entries[i]
	}
	return nil
}

func (s *Stub) listIssues(w http.ResponseWriter, r *http.Request) {
	state, label := r.URL.Query().Get("state"), r.URL.Query().Get("labels")
	var found []*Entry
	for _, i := range s.issues {
		if (state == "all" || i.State == state) && (label == "" || slices.Contains(i.Labels, Label{label})) {
			found = append(found, i)
		}
	}
	s.page(w, r, found)
}

func (s *Stub) openIssue(w http.ResponseWriter, body map[string]any) {
	s.next++
	issue := &Entry{ID: s.next * 7, Number: s.next, State: "open", Title: fmt.Sprint(body["title"]), Body: fmt.Sprint(body["body"]),
		User: User{s.login}, HTMLURL: fmt.Sprintf("https://github.example/%s/issues/%d", s.repository, s.next)}
	if labels, ok := body["labels"].([]any); ok {
		for _, l := range labels {
			issue.Labels = append(issue.Labels, Label{fmt.Sprint(l)})
		}
	}
	s.issues = append(s.issues, issue)
	reply(w, http.StatusCreated, issue)
}

func (s *Stub) patch(w http.ResponseWriter, e *Entry, body map[string]any) {
	if e == nil {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	for key, field := range map[string]*string{"title": &e.Title, "body": &e.Body, "state": &e.State} {
		if text, ok := body[key].(string); ok {
			*field = text
		}
	}
	reply(w, http.StatusOK, e)
}

// page sends one page and, if there is another, the Link header.
func (s *Stub) page(w http.ResponseWriter, r *http.Request, entries []*Entry) {
	query := r.URL.Query()
	size, number := 30, 1
	if n, err := strconv.Atoi(query.Get("per_page")); err == nil {
		size = min(n, 100)
	}
	if n, err := strconv.Atoi(query.Get("page")); err == nil {
		number = n
	}
	from, to := min((number-1)*size, len(entries)), min(number*size, len(entries))
	if to < len(entries) {
		query.Set("page", fmt.Sprint(number+1))
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?%s>; rel="next"`, s.server.URL, r.URL.Path, query.Encode()))
	}
	reply(w, http.StatusOK, append([]*Entry{}, entries[from:to]...))
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client has gone
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]string{"message": message})
}
