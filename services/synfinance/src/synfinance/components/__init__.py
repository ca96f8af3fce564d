"""SynFinance's business as components, in the form that Bedplate's own have.

What MISSION.md calls each metric, and the name it is exposed under; HTTP's are Bedplate's, under OpenTelemetry's
stable names:

=========================  ==================================================
in MISSION.md              exposed as
=========================  ==================================================
requests_total             http_server_request_duration_seconds_count
errors_total               http_server_errors_total
active_requests            http_server_active_requests
request_latency            http_server_request_duration_seconds
request_size               http_server_request_body_size_bytes
response_size              http_server_response_body_size_bytes
fraud_detections_total     synfinance_fraud_detections_total
fraud_rate                 synfinance_fraud_rate_ratio
fraud_confidence           synfinance_fraud_confidence_ratio
anomaly_detections_total   synfinance_anomaly_detections_total
anomaly_rate               synfinance_anomaly_rate_ratio
transactions_generated     synfinance_transactions_generated_total
generation_rate            synfinance_generation_rate_per_second
feature_engineering_time   synfinance_feature_engineering_time_seconds
prediction_time            synfinance_prediction_time_seconds
cache_hit_rate             synfinance_cache_hit_rate_ratio
cache_hits                 synfinance_cache_hits_total
cache_misses               synfinance_cache_misses_total
memory_usage               synfinance_memory_usage_bytes
cpu_usage                  synfinance_cpu_usage_ratio
disk_usage                 synfinance_disk_usage_ratio
active_connections         synfinance_active_connections
=========================  ==================================================
"""

from __future__ import annotations

from synfinance.components.compute import Busy, Compute, ComputeSettings
from synfinance.components.detection import DetectionSettings, FraudDetection
from synfinance.components.generation import Generation, GenerationSettings
from synfinance.components.profiles import CardHistory, CardHistorySettings
from synfinance.components.quality import DataQuality, QualitySettings
from synfinance.components.system import System, SystemSettings
from synfinance.components.traffic import Traffic

__all__ = [
    "Busy",
    "CardHistory",
    "CardHistorySettings",
    "Compute",
    "ComputeSettings",
    "DataQuality",
    "DetectionSettings",
    "FraudDetection",
    "Generation",
    "GenerationSettings",
    "QualitySettings",
    "System",
    "SystemSettings",
    "Traffic",
]
