"""What the API and the console share: session, CSRF, security headers, the one error handler."""
