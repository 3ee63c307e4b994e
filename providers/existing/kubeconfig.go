package existing

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vllm-autoscaling/providers/kubeconfig"
)

// file is a kubeconfig with the path that it was read from.
type file struct {
	kubeconfig.File

	path string
}

// findKubeconfig returns the file to read: the given one, else the first existing file of
// $KUBECONFIG, else ~/.kube/config. Unlike kubectl it does not merge several files: of two
// clusters with one name the wrong one could be taken. Others lists the existing files that are
// left out for that.
func findKubeconfig(given string) (path string, others []string, err error) {
	if given != "" {
		path, err = expandHome(given)
		return path, nil, err
	}
	listed := filepath.SplitList(os.Getenv("KUBECONFIG"))
	listed = slices.DeleteFunc(listed, func(p string) bool { return p == "" })
	if len(listed) == 0 {
		path, err = expandHome("~/.kube/config")
		return path, nil, err
	}
	var found []string
	for _, p := range listed {
		if _, err := os.Stat(p); err == nil {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return listed[0], nil, nil // Reading it reports that it is missing.
	}
	return found[0], found[1:], nil
}

func expandHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok || rest != "" && rest[0] != '/' {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("kubeconfig %s: %w; give an absolute path as cluster.kubeconfig", path, err)
	}
	return home + rest, nil
}

// readKubeconfig reads one file.
func readKubeconfig(path string) (*file, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("kubeconfig %s does not exist: set cluster.kubeconfig, or the variable KUBECONFIG, to your cluster's kubeconfig", path)
	}
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s cannot be read: %w", path, err)
	}
	config, err := kubeconfig.Parse(content)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s is %w: `kubectl config view --kubeconfig %s` shows what is wrong", path, err, path)
	}
	if len(config.Contexts) == 0 {
		return nil, fmt.Errorf("kubeconfig %s has no contexts: is it a kubeconfig?", path)
	}
	return &file{File: *config, path: path}, nil
}

// selection is one context of a kubeconfig with what it refers to.
type selection struct {
	context kubeconfig.Context
	cluster kubeconfig.Cluster
	user    kubeconfig.User
	path    string
}

// choose returns a context; "" means the file's current one.
func (k *file) choose(context string) (*selection, error) {
	var names []string
	for _, c := range k.Contexts {
		names = append(names, c.Name)
	}
	name := context
	if name == "" {
		name = k.CurrentContext
	}
	if name == "" {
		return nil, fmt.Errorf("kubeconfig %s has no current-context: set cluster.context (one of: %s)", k.path, strings.Join(names, ", "))
	}
	chosen, found := only(k.Contexts, func(c kubeconfig.Context) bool { return c.Name == name })
	if found == 0 {
		return nil, fmt.Errorf("kubeconfig %s has no context %q: set cluster.context to one of: %s", k.path, name, strings.Join(names, ", "))
	}
	if found > 1 {
		return nil, k.ambiguous("context", name, found)
	}
	s := &selection{context: chosen, path: k.path}
	if s.cluster, found = only(k.Clusters, func(c kubeconfig.Cluster) bool { return c.Name == chosen.Context.Cluster }); found == 0 {
		return nil, fmt.Errorf("kubeconfig %s: context %q refers to cluster %q, which is not in the file", k.path, name, chosen.Context.Cluster)
	}
	if found > 1 {
		return nil, k.ambiguous("cluster", chosen.Context.Cluster, found)
	}
	// A cluster without authentication needs no user.
	if chosen.Context.User != "" {
		if s.user, found = only(k.Users, func(u kubeconfig.User) bool { return u.Name == chosen.Context.User }); found == 0 {
			return nil, fmt.Errorf("kubeconfig %s: context %q refers to user %q, which is not in the file", k.path, name, chosen.Context.User)
		}
		if found > 1 {
			return nil, k.ambiguous("user", chosen.Context.User, found)
		}
	}
	if s.server() == "" {
		return nil, fmt.Errorf("kubeconfig %s: cluster %q has no server", k.path, s.cluster.Name)
	}
	return s, nil
}

// only returns the first entry that matches, and how many do.
func only[T any](entries []T, matches func(T) bool) (first T, count int) {
	for _, entry := range entries {
		if matches(entry) {
			if count == 0 {
				first = entry
			}
			count++
		}
	}
	return first, count
}

// ambiguous returns the error of a name that several entries have. kubectl refuses such a file too.
func (k *file) ambiguous(kind, name string, count int) error {
	return fmt.Errorf("kubeconfig %s has %d entries for the %s %q: remove or rename all but one", k.path, count, kind, name)
}

// server returns the URL of the API server, without a slash at its end.
func (s *selection) server() string {
	return strings.TrimRight(kubeconfig.Text(s.cluster.Cluster, "server"), "/")
}

// minified returns a kubeconfig with the chosen context only and with the files that it refers to put
// in, as `kubectl config view --minify --flatten` gives it: the state gets no credentials of other
// clusters, and works on machines where those files are not.
func (s *selection) minified() (string, error) {
	cluster, err := s.embed(s.cluster.Cluster, "certificate-authority")
	if err != nil {
		return "", err
	}
	user, err := s.embed(s.user.User, "client-certificate", "client-key")
	if err != nil {
		return "", err
	}
	// A token file is meant to be read anew each time, and a plugin to be run.
	user = s.absolute(user, "tokenFile")
	if exec, ok := user["exec"].(map[string]any); ok && strings.ContainsRune(kubeconfig.Text(exec, "command"), filepath.Separator) {
		user["exec"] = s.absolute(exec, "command")
	}
	out := kubeconfig.File{
		APIVersion: "v1", Kind: "Config", CurrentContext: s.context.Name,
		Clusters: []kubeconfig.Cluster{{Name: s.cluster.Name, Cluster: cluster}},
		Contexts: []kubeconfig.Context{s.context},
	}
	if s.user.Name != "" {
		out.Users = []kubeconfig.User{{Name: s.user.Name, User: user}}
	}
	content, err := out.Text()
	if err != nil {
		return "", fmt.Errorf("kubeconfig %s: context %q: %w", s.path, s.context.Name, err)
	}
	return content, nil
}

// embed returns a copy of an entry in which each file's content stands in place of its path.
func (s *selection) embed(entry map[string]any, files ...string) (map[string]any, error) {
	out := clone(entry)
	for _, key := range files {
		content, err := s.file(entry, key)
		if err != nil {
			return nil, err
		}
		delete(out, key)
		if content != nil {
			out[key+"-data"] = base64.StdEncoding.EncodeToString(content)
		}
	}
	return out, nil
}

// absolute returns a copy of an entry in which paths do not depend on the kubeconfig's folder.
func (s *selection) absolute(entry map[string]any, keys ...string) map[string]any {
	out := clone(entry)
	for _, key := range keys {
		if path := kubeconfig.Text(entry, key); path != "" {
			out[key] = s.resolve(path)
		}
	}
	return out
}

// file returns the content that an entry gives inline as <key>-data, or else in the file <key>; nil when
// it gives neither. Inline wins, as with kubectl.
func (s *selection) file(entry map[string]any, key string) ([]byte, error) {
	if data := kubeconfig.Text(entry, key+"-data"); data != "" {
		content, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %s: context %q: %s-data is not base64", s.path, s.context.Name, key)
		}
		return content, nil
	}
	path := kubeconfig.Text(entry, key)
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(s.resolve(path))
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: context %q: %s: %w", s.path, s.context.Name, key, err)
	}
	return content, nil
}

// resolve returns an absolute path; those in a kubeconfig are relative to its folder.
func (s *selection) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	joined := filepath.Join(filepath.Dir(s.path), path)
	if absolute, err := filepath.Abs(joined); err == nil {
		return absolute
	}
	return joined
}

func clone(entry map[string]any) map[string]any {
	out := make(map[string]any, len(entry))
	for key, value := range entry {
		out[key] = value
	}
	return out
}
