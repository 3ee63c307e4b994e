package recover

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Revision is a revision of a Helm release, which Helm stores in a Secret.
type Revision struct {
	// Secret is the name of that Secret.
	Secret    string `json:"-"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Version   int    `json:"version"`
	Info      struct {
		Status   string    `json:"status"`
		Deployed time.Time `json:"last_deployed"`
	} `json:"info"`
	Chart struct {
		Metadata struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"metadata"`
	} `json:"chart"`
	// Config are the values over those of the chart.
	Config   map[string]any `json:"config"`
	Manifest string         `json:"manifest"`
	Hooks    []struct {
		Manifest string `json:"manifest"`
	} `json:"hooks"`
}

// The states of a revision.
const (
	deployed        = "deployed"
	failed          = "failed"
	superseded      = "superseded"
	uninstalling    = "uninstalling"
	pendingInstall  = "pending-install"
	pendingUpgrade  = "pending-upgrade"
	pendingRollback = "pending-rollback"
)

// decodeRevision decodes the value of a Secret of type helm.sh/release.v1.
func decodeRevision(encoded []byte) (*Revision, error) {
	compressed := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(compressed, encoded)
	if err != nil {
		return nil, err
	}
	reader, err := gzip.NewReader(bytes.NewReader(compressed[:n]))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		return nil, err
	}
	r := &Revision{}
	return r, json.Unmarshal(text, r)
}

// History are the revisions of a release, the oldest first.
type History []*Revision

func (h History) last() *Revision {
	if len(h) == 0 {
		return nil
	}
	return h[len(h)-1]
}

// deployed returns the newest revision that was deployed completely, nil for none.
func (h History) deployed() *Revision {
	for _, r := range slices.Backward(h) {
		if r.Info.Status == deployed {
			return r
		}
	}
	return nil
}

// served reports whether a revision of the release was ever deployed completely.
func (h History) served() bool {
	return slices.ContainsFunc(h, func(r *Revision) bool { return r.Info.Status == deployed || r.Info.Status == superseded })
}

// isPending reports whether Helm refuses to upgrade the release because of the revision.
func (r *Revision) isPending() bool {
	return slices.Contains([]string{pendingInstall, pendingUpgrade, pendingRollback}, r.Info.Status)
}

// sameValues reports whether two objects of values are the same. Nulls do not count, as the provider leaves them out.
func sameValues(a, b map[string]any) (bool, error) {
	var texts [2][]byte
	for i, values := range []map[string]any{a, b} {
		// Through JSON once, so that numbers have one type, and a second time for a fixed order.
		text, err := json.Marshal(values)
		if err != nil {
			return false, fmt.Errorf("compare values: %w", err)
		}
		var plain any
		if err := json.Unmarshal(text, &plain); err != nil {
			return false, fmt.Errorf("compare values: %w", err)
		}
		object, _ := withoutNulls(plain).(map[string]any)
		if object == nil {
			object = map[string]any{}
		}
		if texts[i], err = json.Marshal(object); err != nil {
			return false, fmt.Errorf("compare values: %w", err)
		}
	}
	return bytes.Equal(texts[0], texts[1]), nil
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := maps.Clone(v)
		for key, value := range v {
			if kept[key] = withoutNulls(value); value == nil {
				delete(kept, key)
			}
		}
		return kept
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i])
		}
	}
	return v
}
