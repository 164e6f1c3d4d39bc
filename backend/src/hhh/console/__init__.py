"""The console: pages drawn here, from the services that the API calls, with the API's session and CSRF protection."""
