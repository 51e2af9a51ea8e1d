"""The webhook itself: reviews in and out (pure), the Flask application, and the server it runs under."""
