"""The program that sends alerts: a process of its own, for a minute.

Apprise and what it loads take a second and tens of megabytes, log what they like, and wait as long as a receiver has
them wait. Here none of that is in the way of a backup, and a receiver that hangs is ended with the process.

It reads one line of JSON from standard input, so that no secret is in its arguments or its environment: ``url``,
``refuse_local`` and ``messages``, each with ``id``, ``title``, ``body`` and ``type``. It answers a line that tells why
the URL is ``refused``, or null; then one for each message that was tried, with its ``id`` and ``error``, null for one
that was taken, and whether it ``reached_some`` of those whom the URL names.
"""
