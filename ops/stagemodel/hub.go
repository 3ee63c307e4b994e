package stagemodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// hubTimeout limits the look at the hub, which the Job takes again: it is for what can be known before anything is created.
const hubTimeout = 5 * time.Second

// listing is what the hub tells everyone about a model.
type listing struct {
	SHA      string `json:"sha"`
	Gated    any    `json:"gated"` // false, "auto" or "manual"
	Siblings []struct {
		Name string `json:"rfilename"`
		Size int64  `json:"size"`
	} `json:"siblings"`
}

// gated reports whether files are downloaded with a token only.
func (l listing) gated() bool { return l.Gated != nil && l.Gated != false }

// weights returns the size of the safetensors files.
func (l listing) weights() int64 {
	var sum int64
	for _, file := range l.Siblings {
		if strings.HasSuffix(file.Name, ".safetensors") && !strings.Contains(file.Name, "/") && !strings.HasPrefix(file.Name, "consolidated") {
			sum += file.Size
		}
	}
	return sum
}

// errUnknown is returned where the hub does not answer here, or not everyone: whether there is the model is then for the Job to find out.
var errUnknown = errors.New("not known")

// look asks the hub for a model without a token. It returns errUnknown, or why the model cannot be copied.
func look(ctx context.Context, client *http.Client, endpoint string, t Target, hasToken bool) (listing, error) {
	ctx, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	revision := t.Revision
	if revision == "" {
		revision = "main"
	}
	address := fmt.Sprintf("%s/api/models/%s/revision/%s?blobs=true", endpoint, t.Model, url.PathEscape(revision))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return listing{}, errUnknown
	}
	response, err := client.Do(request)
	if err != nil {
		return listing{}, errUnknown
	}
	defer func() { _ = response.Body.Close() }()
	code := response.Header.Get("X-Error-Code")
	switch {
	case response.StatusCode == http.StatusOK:
	case code == "RevisionNotFound":
		return listing{}, fmt.Errorf("%s has no revision %s: model.revision is a commit, tag or branch of %s/%s/tree/main", t.Model, revision, endpoint, t.Model)
	case !hasToken && (code == "RepoNotFound" || response.StatusCode == http.StatusUnauthorized):
		return listing{}, fmt.Errorf("there is no model %s at %s, or it is private and the server has no Hugging Face token: check model.id", t.Model, endpoint)
	default:
		return listing{}, errUnknown
	}
	var found listing
	if json.NewDecoder(response.Body).Decode(&found) != nil {
		return listing{}, errUnknown
	}
	return found, nil
}

// gatedError returns the way on for a gated model without a token.
func gatedError(t Target, endpoint string) error {
	return fmt.Errorf("%s is gated and the server has no Hugging Face token: accept the licence at %s/%s, then "+
		"`pulumi config set --secret huggingFaceToken` and `pulumi up`", t.Model, endpoint, t.Model)
}
