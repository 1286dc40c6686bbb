"""What runs beside every application: an agent that keeps a certificate, runs Envoy and answers on the admin port.

Standard library only, and little of it: one of these lives in each pod, so every import is paid a thousand times.
"""
