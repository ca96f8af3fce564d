"""What the components tell of themselves: metrics, and the alerts, panels and runbooks that rest on them.

One module a component, and a page of the same name for the person on call.
"""
