"""Latent regimes of markets: models, exact inference, and what is made of regime probabilities."""

from praesidium.data.chunks import Chunks, RandomChunkDataset, collate_fn
from praesidium.regimes.bands import VolatilityBands
from praesidium.regimes.calibration import TemperatureScaling
from praesidium.regimes.causality import LookAhead, deciding
from praesidium.regimes.change import RegimeChangeDetector
from praesidium.regimes.covariance import (
    effective_sample_size,
    estimate_regime_covariance,
    estimate_regime_mean,
    mixture_covariance,
)
from praesidium.regimes.decoder import Decoder
from praesidium.regimes.detection import Detection, detection
from praesidium.regimes.encoder import Encoder
from praesidium.regimes.factors import RegimeFactorModel
from praesidium.regimes.fitting import train_model
from praesidium.regimes.forecasting import ForwardTransitionPredictor
from praesidium.regimes.gaussian_hmm import GaussianHMM
from praesidium.regimes.input_driven import InputDrivenHMM
from praesidium.regimes.jump import JumpModel
from praesidium.regimes.labels import align, align_parameters, order_by_volatility, refit_stability, stability
from praesidium.regimes.model import RegimeModel, of_prices, regime_model
from praesidium.regimes.persistence import RegimePersistenceModel
from praesidium.regimes.prior import Prior
from praesidium.regimes.quantizer import Usage
from praesidium.regimes.reliability import Reliability, reliability
from praesidium.regimes.student_hmm import StudentHMM
from praesidium.regimes.vae_hmm import VAE_HMM
from praesidium.regimes.vqvaehmm import VQVAEHMM

calibrate_probabilities = reliability

__all__ = [
    "VAE_HMM",
    "VQVAEHMM",
    "Chunks",
    "Decoder",
    "Detection",
    "Encoder",
    "ForwardTransitionPredictor",
    "GaussianHMM",
    "InputDrivenHMM",
    "JumpModel",
    "LookAhead",
    "Prior",
    "RandomChunkDataset",
    "RegimeChangeDetector",
    "RegimeFactorModel",
    "RegimeModel",
    "RegimePersistenceModel",
    "Reliability",
    "StudentHMM",
    "TemperatureScaling",
    "Usage",
    "VolatilityBands",
    "align",
    "align_parameters",
    "calibrate_probabilities",
    "collate_fn",
    "deciding",
    "detection",
    "effective_sample_size",
    "estimate_regime_covariance",
    "estimate_regime_mean",
    "mixture_covariance",
    "of_prices",
    "order_by_volatility",
    "refit_stability",
    "regime_model",
    "reliability",
    "stability",
    "train_model",
]
