"""The console: pages drawn here, from the services that the API calls, with the API's session and CSRF protection.

A request meets a route (`routes/`, one file a room), which asks services, has worked out what the page shows or the
form sent (`views/`), and draws a template (`templates/`). The modules here are the frame that all rooms share.
"""
