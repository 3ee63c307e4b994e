package existing

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"vllm-autoscaling/providers/kubeclient"
	"vllm-autoscaling/providers/kubeconfig"
)

// checkTimeout is how long a server may take to answer. An unreachable one would otherwise be found
// out by the first object, after many were planned.
const checkTimeout = 10 * time.Second

// Check reports whether a kubeconfig is usable, its server answers and its user is let in: nil, or one error that names
// what is missing and how to get it. Path and context are those of providers.Local.
func Check(path, contextName string) error {
	_, err := connect(path, contextName)
	return err
}

// connection is a context that was tried out.
type connection struct {
	*selection
	// kubeconfig is the content of a file with that context only.
	kubeconfig string
	// id identifies the cluster; see selection.identity.
	id string
	// others are the kubeconfig files that were left out.
	others []string
}

// connect finds, reads and tries out a context.
func connect(path, contextName string) (*connection, error) {
	file, others, err := findKubeconfig(path)
	if err != nil {
		return nil, err
	}
	config, err := readKubeconfig(file)
	if err != nil {
		return nil, err
	}
	chosen, err := config.choose(contextName)
	if err != nil {
		if len(others) > 0 {
			err = fmt.Errorf("%w (of the files in KUBECONFIG only the first that exists is read; not read: %s)", err, strings.Join(others, ", "))
		}
		return nil, err
	}
	found := &connection{selection: chosen, others: others}
	if found.kubeconfig, err = chosen.minified(); err != nil {
		return nil, err
	}
	if err := chosen.checkUser(found.kubeconfig); err != nil {
		return nil, err
	}
	if err := chosen.reach(found.kubeconfig); err != nil {
		return nil, err
	}
	found.id, err = chosen.identity(found.kubeconfig)
	return found, err
}

// checkUser finds what keeps a user from logging in that neither the server nor the program that logs in would explain.
func (s *selection) checkUser(minified string) error {
	file, err := kubeconfig.Parse([]byte(minified))
	if err != nil || len(file.Users) == 0 {
		return err
	}
	user := file.Users[0].User
	if expired, at := expiredCertificate(kubeconfig.Text(user, "client-certificate-data")); expired {
		return fmt.Errorf("kubeconfig %s: the client certificate of user %q expired on %s: have the cluster's tool write a new kubeconfig "+
			"(for example minikube start, kind export kubeconfig or kubeadm kubeconfig user)", s.path, s.user.Name, at.Format(time.DateOnly))
	}
	login, ok := user["exec"].(kubeconfig.Object)
	if !ok || kubeconfig.Text(user, "token") != "" || kubeconfig.Text(user, "tokenFile") != "" {
		return nil // With a token, no program runs.
	}
	command := kubeconfig.Text(login, "command")
	if kubeconfig.Text(login, "interactiveMode") == "Always" {
		return fmt.Errorf("kubeconfig %s: user %q logs in with %s, which asks for input (interactiveMode: Always), and nobody answers during a deployment: "+
			"use a login without questions, or set interactiveMode to IfAvailable if the program needs none once you are logged in", s.path, s.user.Name, command)
	}
	if _, err := exec.LookPath(command); err != nil && command != "" {
		hint := strings.Join(strings.Fields(kubeconfig.Text(login, "installHint")), " ")
		if hint == "" {
			hint = "install it, or put its folder on the PATH"
		}
		return fmt.Errorf("kubeconfig %s: user %q logs in with the program %s, which is not there: %s", s.path, s.user.Name, command, hint)
	}
	return nil
}

// expiredCertificate reports whether a certificate in base64 has expired, and when.
func expiredCertificate(data string) (bool, time.Time) {
	content, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return false, time.Time{}
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return false, time.Time{}
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false, time.Time{}
	}
	return time.Now().After(certificate.NotAfter), certificate.NotAfter
}

// reach requests the server's version, without credentials other than a certificate: whether they are accepted is for the
// next request to find out.
func (s *selection) reach(minified string) error {
	client, err := kubeclient.NewUnauthenticated(minified)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: context %q cannot be used: %w", s.path, s.context.Name, err)
	}
	defer client.Close()
	if err := client.Reach(context.Background(), checkTimeout); err != nil {
		return fmt.Errorf("the cluster of context %q (kubeconfig %s) does not answer: %w; "+
			"check that it runs and that this machine reaches %s (%s version)",
			s.context.Name, s.path, err, s.server(), s.kubectl())
	}
	return nil
}

// identityNamespace is the namespace whose UID identifies a cluster. Kubernetes creates it once and refuses to delete it.
const identityNamespace = "kube-system"

// identity returns the UID of the namespace kube-system. It stays the same under another address, another name of the
// context and other credentials, and is another one in a cluster that was created anew under the same address.
func (s *selection) identity(minified string) (string, error) {
	client, err := kubeclient.New(minified)
	if err != nil {
		return "", fmt.Errorf("kubeconfig %s: context %q cannot be used: %w", s.path, s.context.Name, err)
	}
	defer client.Close()
	var namespace struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	err = client.Get(context.Background(), "/api/v1/namespaces/"+identityNamespace, nil, &namespace)
	if err == nil && namespace.Metadata.UID != "" {
		return namespace.Metadata.UID, nil
	}
	return "", fmt.Errorf("the cluster of context %q (kubeconfig %s) cannot be identified by the UID of its namespace %s: %s",
		s.context.Name, s.path, identityNamespace, s.refusal(err))
}

// refusal returns why the namespace could not be read, and what to do about it, on one line.
func (s *selection) refusal(err error) string {
	user := s.user.Name
	if user == "" {
		user = "system:anonymous"
	}
	var status *kubeclient.StatusError
	switch {
	case err == nil:
		return fmt.Sprintf("it has none; is %s a Kubernetes API server?", s.server())
	case errors.Is(err, kubeclient.ErrLogin):
		return fmt.Sprintf("%s Log in first (%s version), or use a user who needs no person", err, s.kubectl())
	case !errors.As(err, &status):
		// client-go explains a login program that failed over several lines.
		first, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Sprintf("%s; see what `%s get namespace %s` answers", first, s.kubectl(), identityNamespace)
	case status.Code == http.StatusUnauthorized:
		return fmt.Sprintf("the API server does not accept the credentials of user %q (401): they may have expired; log in again, or get a new kubeconfig", user)
	case status.Code == http.StatusForbidden:
		return fmt.Sprintf("user %q may not read it (403): grant get on the namespace %s; a deployment creates namespaces and cluster roles, and needs more than that",
			user, identityNamespace)
	case status.Code == http.StatusNotFound:
		return fmt.Sprintf("it has none (404); is %s a Kubernetes API server?", s.server())
	}
	return err.Error()
}

// kubectl returns how people call kubectl for the context.
func (s *selection) kubectl() string {
	return fmt.Sprintf("kubectl --kubeconfig %s --context %s", s.path, s.context.Name)
}
